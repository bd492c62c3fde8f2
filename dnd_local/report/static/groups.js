"use strict";
// The groups page at another threshold: labels move between groups, nothing is loaded or computed
// but which joins of the tree of highest cosines reach the threshold.
document.addEventListener("DOMContentLoaded", () => {
  const find = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const chooser = find("#chooser"), slider = find("#slider");
  if (!chooser) return;
  const rounding = 1e-6;
  const joins = chooser.dataset.joins.split(";").filter(Boolean).map((one) => one.split(",").map(Number));
  const labels = all("[data-label]").map((element) => ({
    element, number: Number(element.dataset.label), count: Number(element.dataset.count),
    text: find(".name", element).textContent,
  })).sort((a, b) => a.number - b.number);
  const first = Number(chooser.dataset.above);
  const many = (count, thing) => `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;

  // The groups at a threshold, the largest first; of each the most frequent label first.
  function groupsAt(above) {
    const parent = labels.map((_, number) => number);
    const top = (number) => {
      let at = number;
      while (parent[at] !== at) { parent[at] = parent[parent[at]]; at = parent[at]; }
      return at;
    };
    for (const [left, right, cosine] of joins) if (cosine >= above - rounding) parent[top(left)] = top(right);
    const groups = new Map();
    for (const label of labels) {
      const at = top(label.number);
      if (!groups.has(at)) groups.set(at, { count: 0, labels: [] });
      groups.get(at).labels.push(label);
      groups.get(at).count += label.count;
    }
    for (const group of groups.values()) group.labels.sort((a, b) => b.count - a.count || a.number - b.number);
    return [...groups.values()].sort((a, b) => b.count - a.count || a.labels[0].number - b.labels[0].number);
  }

  function card(group) {
    const element = find("#group").content.firstElementChild.cloneNode(true);
    find("h3 bdi", element).textContent = group.labels[0].text;
    find("h3 a", element).href = find(".name", group.labels[0].element).getAttribute("href");
    find(".counted", element).textContent = many(group.count, "neuron")
      + (group.labels.length > 1 ? `, ${many(group.labels.length, "label")}` : "");
    find(".labels", element).append(...group.labels.map((label) => label.element));
    return element;
  }

  function show(above) {
    const groups = groupsAt(above);
    const shared = groups.filter((group) => group.count > 1), alone = groups.filter((group) => group.count === 1);
    find("#alone").replaceChildren(...alone.map((group) => group.labels[0].element));
    find("#groups").replaceChildren(...shared.map(card));
    find("#none").hidden = shared.length > 0;
    find("#alone-section").hidden = alone.length === 0;
    find("#above").textContent = String(above);
    find("#counted").textContent = `${many(shared.length, "group")}, ${many(alone.length, "neuron")} alone`;
    slider.value = above;
    for (const button of all("button[data-above]")) button.setAttribute("aria-pressed", String(Number(button.dataset.above) === above));
  }

  // The threshold lies in the address, so that "back" from a neuron finds the groups as they were.
  function choose(above) {
    show(above);
    history.replaceState(null, "", above === first ? location.pathname : `#above=${above}`);
  }

  chooser.hidden = false;
  for (const name of all("span.level")) name.hidden = true;
  for (const button of all("button[data-above]")) {
    button.hidden = false;
    button.addEventListener("click", () => choose(Number(button.dataset.above)));
  }
  slider.addEventListener("input", () => choose(Number(slider.value)));
  function restore() {
    const kept = parseFloat(new URLSearchParams(location.hash.slice(1)).get("above"));
    if (kept >= 0 && kept <= 1) show(kept);
  }
  restore();
  window.addEventListener("hashchange", restore);
});
