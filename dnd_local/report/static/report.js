"use strict";
// One script for all pages. It only ever reads what the page holds: nothing is loaded, and text
// from labels is never made into markup.
(() => {
  const root = document.documentElement;
  const find = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  // A browser may refuse storage to files; a page works without.
  const remember = (name, value) => { try { localStorage.setItem(`dnd-${name}`, value); } catch { /* refused */ } };
  const recall = (name) => { try { return localStorage.getItem(`dnd-${name}`); } catch { return null; } };

  const theme = (name) => {
    if (name) root.dataset.theme = name; else delete root.dataset.theme;
  };
  theme(recall("theme"));

  const isDark = () => (root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches);

  function themeButton() {
    const button = find("#theme");
    const name = () => button.setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
    name();
    button.addEventListener("click", () => {
      const next = isDark() ? "light" : "dark";
      theme(next); remember("theme", next); name();
    });
  }

  function helpDialog() {
    const dialog = find("#keys");
    find("#help").addEventListener("click", () => dialog.showModal());
    return dialog;
  }

  // Toggles of a neuron's page: maps and boxes, off until asked for, remembered from page to page.
  function toggles() {
    for (const kind of ["maps", "boxes"]) {
      const buttons = all(`button[data-toggle=${kind}]`);
      const show = (on) => {
        for (const button of buttons) button.setAttribute("aria-pressed", String(on));
        document.body.classList.toggle(`show-${kind}`, on);
      };
      show(buttons.length > 0 && recall(kind) === "on");
      for (const button of buttons) button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        show(on); remember(kind, on ? "on" : "off");
      });
    }
  }

  // A picture enlarged where it stands: as it is, beside it with its map and boxes, and what is
  // told of it.
  function zoom() {
    const dialog = find("#zoom"), pictures = all("button.zoom");
    if (!dialog) return;
    const sides = find(".sides", dialog), about = find(".about", dialog);
    let at = 0;
    const copy = (picture, name) => {
      const side = document.createElement("div");
      const own = picture.cloneNode(true);
      own.removeAttribute("loading");
      side.className = name;
      side.append(own);
      return side;
    };
    const show = (place) => {
      at = (place + pictures.length) % pictures.length;
      const picture = pictures[at].firstElementChild;
      const item = pictures[at].closest("li");
      const told = find(".told", item), scene = find(".scene", item);
      const drawn = find(".attention, .box", picture) !== null;
      sides.replaceChildren(copy(picture, "as-it-is"), ...(drawn ? [copy(picture, "mapped-side")] : []),
        ...(scene ? [copy(scene, "cut-from")] : []));
      about.replaceChildren(...(told ? [told.cloneNode(true)] : []));
      if (!dialog.open) dialog.showModal();
      dialog.scrollTop = 0;
    };
    pictures.forEach((picture, place) => picture.addEventListener("click", () => show(place)));
    for (const button of all("[data-step]", dialog)) button.addEventListener("click", () => show(at + Number(button.dataset.step)));
    dialog.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
      if (step) { event.preventDefault(); show(at + step); }
    });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => pictures[at].focus());
  }

  // The list of neurons, on the run page and the compare page: search, filter, sort.
  function list() {
    const box = find("#neurons");
    if (!box) return null;
    // A long list's later cards lie in a template, where they cost nothing until they are shown.
    const rest = find("#rest");
    const rows = [...all("[data-row]", box), ...(rest ? all("[data-row]", rest.content) : [])];
    const items = rows.map((element, place) => ({
      element, place,
      text: element.dataset.text.toLowerCase(),
      layer: element.dataset.layer, status: element.dataset.status,
      verdict: element.dataset.verdict || "", support: parseFloat(element.dataset.support),
      score: parseFloat(element.dataset.score), maximum: parseFloat(element.dataset.maximum),
      label: element.dataset.label || "", differs: element.dataset.differs === "1",
      pairs: (element.dataset.pairs || "").split(",").map(Number),
    }));
    const search = find("#search"), sort = find("#sort"), layer = find("#layer");
    const chips = all("button[data-status]"), differs = find("#differs");
    const verdicts = all("button[data-verdict]"), pair = find("#pair");
    const first = sort ? sort.options[0].value : "";
    const pressed = (buttons, name) => buttons.filter((one) => one.getAttribute("aria-pressed") === "true").map((one) => one.dataset[name]);
    const count = find("#count"), map = find(".map"), nothing = find("#nothing");
    const dots = map ? new Map(all("circle", map).map((dot) => [dot.dataset.place, dot])) : new Map();
    // Where a word may be found besides the labels, and how that is said.
    const kinds = ["candidate", "phrase", "caption"];
    let texts = null, loading = null;
    const missing = (value) => (Number.isNaN(value) ? -Infinity : value);
    const orders = {
      place: (a, b) => a.place - b.place,
      label: (a, b) => (!a.label - !b.label) || a.label.localeCompare(b.label) || a.place - b.place,
      high: (a, b) => (missing(b.score) - missing(a.score)) || a.place - b.place,
      low: (a, b) => ((Number.isNaN(a.score) - Number.isNaN(b.score)) || a.score - b.score) || a.place - b.place,
      response: (a, b) => (missing(b.maximum) - missing(a.maximum)) || a.place - b.place,
      support: (a, b) => (Number.isNaN(a.support) - Number.isNaN(b.support)) || b.support - a.support || a.place - b.place,
    };
    // On the compare page: the likeness that counts is that of all pairs of describers, or of one.
    function compare() {
      for (const item of items) {
        item.score = pair.value === "" ? parseFloat(item.element.dataset.score) : item.pairs[Number(pair.value)];
        item.differs = item.score === 0;
        find(".likes span", item.element).textContent = item.score.toFixed(2);
        find(".likes rect", item.element).setAttribute("width", item.score);
      }
      apply();
    }
    const step = 240, end = find("#end");
    let fitting = items, limit = (history.state && history.state.limit) || step, state = "";

    function apply() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const wanted = pressed(chips, "status"), worth = pressed(verdicts, "verdict");
      const narrowed = words.length > 0 || wanted.length > 0 || worth.length > 0 || Boolean(layer && layer.value);
      fitting = items.filter((item) => {
        item.found = [];
        const fits = words.every((word) => holds(item, word))
          && (!wanted.length || wanted.includes(item.status))
          && (!worth.length || worth.includes(item.verdict))
          && (!layer || !layer.value || item.layer === layer.value)
          && (!differs || differs.getAttribute("aria-pressed") !== "true" || item.differs);
        const dot = dots.get(String(item.place));
        if (dot) dot.classList.toggle("hit", fits && narrowed);
        return fits;
      });
      if (map) map.classList.toggle("searched", narrowed);
      if (sort) fitting.sort(orders[sort.value]);
      const shown = fitting.length;
      const of = items.length.toLocaleString("en");
      const beyond = fitting.filter((item) => item.found.length).length;
      count.textContent = (shown === items.length ? "" : `${shown.toLocaleString("en")} of `)
        + (items.length === 1 ? "1 neuron" : `${of} neurons`)
        + (words.length && beyond ? `, ${beyond.toLocaleString("en")} by more than labels` : "");
      nothing.hidden = shown > 0;
      const asked = JSON.stringify([words, wanted, worth, layer && layer.value, sort && sort.value, pair && pair.value]);
      if (state && state !== asked) limit = step;
      state = asked;
      draw();
      keep(words.length ? search.value : "", wanted, worth);
    }

    // Whether a neuron has a word, in its labels or else in its other texts; notes where.
    function holds(item, word) {
      if (item.text.includes(word)) return true;
      if (!texts) return false;
      const own = texts[item.place];
      for (const [kind, name] of kinds.entries()) {
        const text = own[kind].find((one) => one.toLowerCase().includes(word));
        if (text !== undefined) { item.found.push([name, text, word]); return true; }
      }
      return false;
    }

    // The texts beyond labels are loaded when someone starts to search.
    function load() {
      if (loading || !search.dataset.more) return;
      loading = document.createElement("script");
      loading.src = search.dataset.more;
      loading.addEventListener("load", () => { texts = window.dndTexts; if (search.value) apply(); });
      document.head.append(loading);
    }

    // Under a neuron that was found by another text than its labels: which, and the word in it.
    function tell(item) {
      let line = find(".found", item.element);
      if (!item.found.length) { if (line) line.remove(); return; }
      if (!line) {
        line = document.createElement("span");
        line.className = "found";
        find(".text .line", item.element).before(line);
      }
      line.replaceChildren(...item.found.flatMap(([name, text, word], i) => {
        const at = text.toLowerCase().indexOf(word), bold = document.createElement("b");
        bold.textContent = text.slice(at, at + word.length);
        return [`${i ? "; " : ""}in a ${name}: ${text.slice(0, at)}`, bold, text.slice(at + word.length)];
      }));
    }

    function draw() {
      if (texts) fitting.slice(0, limit).forEach(tell);
      const wanted = fitting.slice(0, limit).map((item) => item.element);
      const there = [...box.children];
      // What is drawn already stays as it is: a card that is focused keeps the focus.
      if (there.every((element, i) => element === wanted[i])) box.append(...wanted.slice(there.length));
      else box.replaceChildren(...wanted);
    }

    function more() {
      if (limit >= fitting.length) return;
      limit += step;
      draw();
      history.replaceState({ limit }, "");
    }
    if (end) new IntersectionObserver((seen) => {
      if (seen.some((one) => one.isIntersecting)) more();
    }, { rootMargin: "1500px" }).observe(end);
    window.addEventListener("beforeprint", () => { limit = Infinity; draw(); });

    // The state lies in the address, so that "back" from a neuron finds the list as it was.
    function keep(text, wanted, worth) {
      const state = new URLSearchParams();
      if (text) state.set("q", text);
      if (wanted.length) state.set("status", wanted.join(","));
      if (worth.length) state.set("verdict", worth.join(","));
      if (layer && layer.value) state.set("layer", layer.value);
      if (sort && sort.value !== first) state.set("sort", sort.value);
      if (pair && pair.value) state.set("pair", pair.value);
      const hash = state.toString();
      if (hash !== location.hash.slice(1)) history.replaceState(history.state, "", hash ? `#${hash}` : location.pathname);
    }

    function restore() {
      const state = new URLSearchParams(location.hash.slice(1));
      search.value = state.get("q") || "";
      const wanted = (state.get("status") || "").split(",");
      const worth = (state.get("verdict") || "").split(",");
      for (const chip of chips) chip.setAttribute("aria-pressed", String(wanted.includes(chip.dataset.status)));
      for (const chip of verdicts) chip.setAttribute("aria-pressed", String(worth.includes(chip.dataset.verdict)));
      if (layer) layer.value = [...layer.options].some((o) => o.value === state.get("layer")) ? state.get("layer") : "";
      const kept = state.get("sort");
      if (sort && [...sort.options].some((o) => o.value === kept)) sort.value = kept;
      if (pair && [...pair.options].some((o) => o.value === state.get("pair"))) pair.value = state.get("pair");
    }

    const press = (button) => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      apply();
    };
    search.addEventListener("input", () => { load(); apply(); });
    search.addEventListener("focus", load);
    search.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !search.value) return;
      event.preventDefault(); event.stopPropagation();
      search.value = ""; apply();
    });
    if (pair) pair.addEventListener("change", compare);
    for (const control of [sort, layer]) if (control) control.addEventListener("change", apply);
    for (const chip of [...chips, ...verdicts, ...(differs ? [differs] : [])]) chip.addEventListener("click", () => press(chip));
    for (const button of all("button[data-search]")) {
      button.addEventListener("click", () => {
        search.value = button.dataset.search; load(); apply();
        find("#list").scrollIntoView();
      });
    }
    if (map) map.addEventListener("click", (event) => {
      const dot = event.target.closest("circle");
      const item = dot && items[Number(dot.dataset.place)];
      const link = item && find("a", item.element);
      // Inside a template a link has no full address.
      if (link) location.href = link.getAttribute("href");
    });
    const asked = location.hash === "#search";  // before the address is made that of the list
    restore();
    if (pair && pair.value) compare(); else apply();
    if (search.value) load();
    if (asked) search.focus();

    // j and k walk through what is shown.
    return (step) => {
      let links = all("[data-row] a", box);
      const now = links.indexOf(document.activeElement);
      if (step > 0 && now === links.length - 1) { more(); links = all("[data-row] a", box); }
      const next = links[now < 0 ? (step > 0 ? 0 : links.length - 1) : now + step];
      if (next) next.focus();
    };
  }

  function keys(dialog, walk) {
    const follow = (selector) => { const link = find(selector); if (link) location.href = link.href; };
    const press = (selector) => { const button = find(selector); if (button) button.click(); };
    const back = () => (walk ? walk(-1) : follow("a[rel='prev']"));
    const on = () => (walk ? walk(1) : follow("a[rel='next']"));
    const actions = {
      "/": () => { const search = find("#search"); if (search) search.focus(); else follow("a.to-search"); },
      "?": () => dialog.showModal(),
      j: on, k: back, ArrowRight: on, ArrowLeft: back,
      m: () => press("button[data-toggle='maps']"), b: () => press("button[data-toggle='boxes']"),
      d: () => press("#theme"), u: () => follow("a.home"),
    };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || find("dialog[open]")) return;
      const target = event.target;
      if (target.matches("input, select, textarea")) {
        if (event.key === "Escape") target.blur();
        return;
      }
      // A wide table is moved by the arrow keys itself.
      if (event.key.startsWith("Arrow") && target.closest(".scroll")) return;
      const action = actions[event.key];
      if (action) { event.preventDefault(); action(); }
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    themeButton();
    const dialog = helpDialog();
    toggles();
    zoom();
    keys(dialog, list());
  });
  window.addEventListener("beforeprint", () => { for (const one of all("details.printed")) one.open = true; });
})();
