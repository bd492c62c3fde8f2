"""``python -m dnd_local``: the same as ``dnd-local``."""

from dnd_local.cli.main import run

if __name__ == "__main__":
    run()
