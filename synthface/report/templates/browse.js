"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const SHOW = Math.max(data.side, 48); // CSS pixels a side of a thumbnail
  const GAP = 4, HEAD = 28, PAD = 14; // as in browse.css
  const AHEAD = 800; // pixels above and below the window that are drawn
  const KEPT = 240; // sprites kept decoded

  // image k belongs to identity owner[k] and is number k - first[owner[k]] of it
  const first = [0];
  for (const identity of data.identities) first.push(first[first.length - 1] + identity.shown);
  const nImages = first[data.identities.length];
  const owner = new Uint32Array(nImages);
  data.identities.forEach((_, i) => owner.fill(i, first[i], first[i + 1]));
  const lower = data.identities.map((identity) => identity.name.toLowerCase());
  const means = {};
  for (const score of data.scores) means[score.name] = data.identities.map((_, i) => mean(score.values, first[i], first[i + 1]));

  let order = []; // identities that are shown
  let visible = []; // by identity: its images that are shown
  let tops = [0]; // by place in `order`: pixels above it
  let place = []; // by identity: its place in `order`
  let columns = 1;
  let active = -1; // image that the Tab key reaches
  const drawn = new Map(); // place -> element
  const sprites = new Map(); // identity -> address of its decoded sprite, least recently used first

  function mean(values, start, end) {
    let sum = 0, n = 0;
    for (let k = start; k < end; k++) if (values[k] !== null) { sum += values[k]; n++; }
    return n ? sum / n : null;
  }

  // --- filters

  const bounds = {}; // score -> [low, high, is anything excluded]
  function readBounds() {
    for (const score of data.scores) {
      const field = document.querySelector(`fieldset[data-score="${score.name}"]`);
      const [low, high] = ["low", "high"].map((end) => field.querySelector("." + end));
      const at = (slider) => score.low + (score.high - score.low) * Number(slider.value) / 1000;
      bounds[score.name] = [at(low), at(high), low.value > low.min || Number(high.value) < Number(high.max)];
      field.querySelectorAll("output").forEach((output, k) => { output.value = short(bounds[score.name][k]); });
    }
  }

  const short = (value) => String(Number(value.toPrecision(3)));

  function passes(k, onlyFlagged) {
    if (onlyFlagged && !(k in data.flags) && !data.identities[owner[k]].flag) return false;
    for (const score of data.scores) {
      const [low, high, on] = bounds[score.name], value = score.values[k];
      if (on && (value === null || value < low || value > high)) return false;
    }
    return true;
  }

  function apply() {
    readBounds();
    const query = $("query").value.trim().toLowerCase(), onlyFlagged = Boolean($("flagged") && $("flagged").checked);
    visible = data.identities.map((_, i) => {
      if (query && !lower[i].includes(query)) return [];
      const chosen = [];
      for (let k = first[i]; k < first[i + 1]; k++) if (passes(k, onlyFlagged)) chosen.push(k);
      return chosen;
    });
    order = data.identities.map((_, i) => i).filter((i) => visible[i].length);
    sort($("order").value);
    place = [];
    order.forEach((i, p) => { place[i] = p; });
    const n = order.reduce((sum, i) => sum + visible[i].length, 0);
    const of = (some, all) => some === all ? some.toLocaleString("en") : `${some.toLocaleString("en")} of ${all.toLocaleString("en")}`;
    $("status").textContent = `${of(order.length, data.identities.length)} identities, ${of(n, nImages)} images`;
    $("none").hidden = order.length > 0;
    if (active < 0 || !visible[owner[active]].includes(active)) active = order.length ? visible[order[0]][0] : -1;
    layout();
    remember();
  }

  function sort(by) {
    const flagged = (i) => {
      let n = data.identities[i].flag ? 1000 : 0;
      for (let k = first[i]; k < first[i + 1]; k++) if (k in data.flags) n++;
      return n;
    };
    const [name, end] = by.split(/-(?=low$|high$)/);
    const key = by === "flags" ? (i) => -flagged(i)
      : by === "count" ? (i) => -data.identities[i].total
      : end && means[name] ? (i) => means[name][i] === null ? Infinity : (end === "low" ? 1 : -1) * means[name][i]
      : () => 0;
    const keys = data.identities.map((_, i) => key(i));
    order.sort((a, b) => keys[a] - keys[b] || a - b);
  }

  // the address keeps what is looked at, so that it can be bookmarked
  function remember() {
    const state = new URLSearchParams();
    if ($("query").value) state.set("q", $("query").value);
    if ($("order").value !== "name") state.set("order", $("order").value);
    if ($("flagged") && $("flagged").checked) state.set("flagged", "1");
    for (const score of data.scores) {
      const [low, high] = sliders(score.name);
      if (low.value !== low.min) state.set(score.name + "-min", low.value);
      if (high.value !== high.max) state.set(score.name + "-max", high.value);
    }
    try { history.replaceState(null, "", "#" + state); } catch (error) { /* some browsers forbid it for local files */ }
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    $("query").value = state.get("q") || "";
    if ([...$("order").options].some((option) => option.value === state.get("order"))) $("order").value = state.get("order");
    if ($("flagged")) $("flagged").checked = state.get("flagged") === "1";
    for (const score of data.scores) {
      const [low, high] = sliders(score.name);
      if (state.has(score.name + "-min")) low.value = state.get(score.name + "-min");
      if (state.has(score.name + "-max")) high.value = state.get(score.name + "-max");
      if (low.value !== low.min || high.value !== high.max) $("filters").open = true;
    }
  }

  const sliders = (name) => document.querySelectorAll(`fieldset[data-score="${name}"] input`);

  // --- rows: only those near the window exist

  function layout() {
    const width = $("list").clientWidth;
    columns = Math.max(1, Math.floor((width + GAP) / (SHOW + GAP)));
    tops = [0];
    for (const i of order) tops.push(tops[tops.length - 1] + HEAD + Math.ceil(visible[i].length / columns) * (SHOW + GAP) + PAD);
    $("list").style.height = tops[order.length] + "px";
    const hadFocus = document.activeElement && document.activeElement.dataset.image !== undefined;
    for (const row of drawn.values()) row.remove();
    drawn.clear();
    draw();
    if (hadFocus) focusOn(active);
  }

  function placeAt(y) {
    let low = 0, high = order.length;
    while (low < high) { const middle = (low + high) >> 1; if (tops[middle + 1] <= y) low = middle + 1; else high = middle; }
    return low;
  }

  function draw() {
    const above = -$("list").getBoundingClientRect().top;
    const from = placeAt(above - AHEAD), to = Math.min(order.length - 1, placeAt(above + innerHeight + AHEAD));
    const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.image : undefined;
    const keep = focused === undefined ? -1 : place[owner[focused]]; // a row with the focus stays, wherever it is
    for (const [p, row] of drawn) if ((p < from || p > to) && p !== keep) { row.remove(); drawn.delete(p); }
    const added = document.createDocumentFragment();
    for (let p = from; p <= to; p++) if (!drawn.has(p)) { const row = makeRow(p); drawn.set(p, row); added.append(row); }
    $("list").append(added);
  }

  function make(tag, text, kind) {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  }

  function makeRow(p) {
    const i = order[p], identity = data.identities[i];
    const row = make("section", "", "row");
    row.setAttribute("role", "listitem");
    row.setAttribute("aria-posinset", p + 1);
    row.setAttribute("aria-setsize", order.length);
    row.setAttribute("aria-label", `${identity.name}, ${visible[i].length} images`);
    row.style.transform = `translateY(${tops[p]}px)`;
    const title = make("h2", identity.name);
    const shown = visible[i].length === identity.total ? "" : `${visible[i].length} of `;
    const figures = data.scores.slice(0, 2).map((score) => means[score.name][i] === null ? "" : `, ${score.label} ${short(means[score.name][i])}`);
    title.append(make("small", `${shown}${identity.total} images${figures.join("")}`, "soft"));
    if (identity.flag) title.append(make("span", identity.flag, "mark fail"));
    const strip = make("div", "", "strip");
    strip.style.gridTemplateColumns = `repeat(${columns}, ${SHOW}px)`;
    const address = spriteOf(i);
    for (const k of visible[i]) {
      const button = make("button", "", k in data.flags ? "flagged" : "");
      button.type = "button";
      button.dataset.image = k;
      button.tabIndex = k === active ? 0 : -1;
      button.setAttribute("aria-label", words(k));
      button.style.width = button.style.height = SHOW + "px";
      paint(button, address, k - first[i], identity.shown, SHOW);
      strip.append(button);
    }
    row.append(title, strip);
    return row;
  }

  function words(k) {
    const i = owner[k];
    return `${data.identities[i].name}, image ${k - first[i] + 1} of ${data.identities[i].shown}${k in data.flags ? ", flagged" : ""}`;
  }

  function paint(element, address, number, count, side) {
    element.style.backgroundImage = `url(${address})`;
    element.style.backgroundSize = `${Math.min(count, data.columns) * side}px auto`;
    element.style.backgroundPosition = `-${number % data.columns * side}px -${Math.floor(number / data.columns) * side}px`;
  }

  function spriteOf(i) {
    let address = sprites.get(i);
    if (address === undefined) {
      const bytes = Uint8Array.from(atob($("s" + i).textContent), (letter) => letter.charCodeAt(0));
      address = URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
    }
    sprites.delete(i);
    sprites.set(i, address);
    for (const old of sprites.keys()) {
      if (sprites.size <= KEPT || drawn.has(place[old])) break;
      URL.revokeObjectURL(sprites.get(old));
      sprites.delete(old);
    }
    return address;
  }

  // --- keyboard

  function focusOn(k) {
    if (k === undefined || k < 0) return;
    const before = document.querySelector(`[data-image="${active}"]`);
    if (before) before.tabIndex = -1;
    active = k;
    const p = place[owner[k]], line = Math.floor(visible[owner[k]].indexOf(k) / columns);
    const top = tops[p] + HEAD + line * (SHOW + GAP), origin = $("list").getBoundingClientRect().top + scrollY;
    const bar = getComputedStyle($("tools")).position === "sticky" ? $("tools").getBoundingClientRect().height : 0;
    if (origin + top - HEAD - bar < scrollY) scrollTo(0, origin + top - HEAD - bar);
    if (origin + top + SHOW + GAP > scrollY + innerHeight) scrollTo(0, origin + top + SHOW + GAP - innerHeight);
    draw();
    const button = document.querySelector(`[data-image="${k}"]`);
    button.tabIndex = 0;
    button.focus({ preventScroll: true });
  }

  function neighbour(k, key) {
    const images = visible[owner[k]], at = images.indexOf(k), p = place[owner[k]];
    const imagesAt = (q) => order[q] === undefined ? [] : visible[order[q]];
    const column = at % columns;
    if (key === "ArrowRight") return at + 1 < images.length ? images[at + 1] : imagesAt(p + 1)[0];
    if (key === "ArrowLeft") return at > 0 ? images[at - 1] : imagesAt(p - 1).at(-1);
    if (key === "ArrowDown") {
      if (at + columns < images.length) return images[at + columns];
      if (Math.floor(at / columns) < Math.floor((images.length - 1) / columns)) return images.at(-1);
      return imagesAt(p + 1)[Math.min(column, imagesAt(p + 1).length - 1)];
    }
    if (key === "ArrowUp") {
      if (at >= columns) return images[at - columns];
      const other = imagesAt(p - 1), start = Math.floor((other.length - 1) / columns) * columns;
      return other[Math.min(start + column, other.length - 1)];
    }
    if (key === "Home") return imagesAt(0)[0];
    if (key === "End") return imagesAt(order.length - 1).at(-1);
    if (key === "PageDown") return imagesAt(Math.min(order.length - 1, p + 1))[0];
    if (key === "PageUp") return imagesAt(Math.max(0, p - 1))[0];
    return undefined;
  }

  $("list").addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const k = event.target.dataset.image;
    const to = k === undefined ? undefined : neighbour(Number(k), event.key);
    if (to !== undefined) { event.preventDefault(); focusOn(to); }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || $("details").open || event.target.matches("input, select")) return;
    event.preventDefault();
    $("query").focus();
  });

  // --- details

  function open(k) {
    const i = owner[k], identity = data.identities[i];
    $("details-title").textContent = `${identity.name}, image ${k - first[i] + 1} of ${identity.shown}`;
    const flag = [identity.flag, data.flags[k]].filter(Boolean).join("; ");
    $("details-flag").textContent = flag;
    $("details-flag").hidden = !flag;
    $("face").setAttribute("aria-label", words(k));
    paint($("face"), spriteOf(i), k - first[i], identity.shown, 224);
    const facts = [["file", data.paths[k]]];
    for (const score of data.scores) if (score.values[k] !== null) facts.push([score.label, short(score.values[k])]);
    for (const [key, values] of Object.entries(data.fields)) facts.push([key, values[k]]);
    for (const fields of [identity.fields || {}, data.shared]) facts.push(...Object.entries(fields));
    const rows = facts.filter(([, value]) => value !== null && value !== undefined).flatMap(([key, value]) => [
      make("dt", key.replaceAll("_", " ")), make("dd", typeof value === "object" ? JSON.stringify(value) : String(value)),
    ]);
    $("details-facts").replaceChildren(...rows);
    $("previous").disabled = neighbour(k, "ArrowLeft") === undefined;
    $("next").disabled = neighbour(k, "ArrowRight") === undefined;
    active = k;
    if ($("details").open) return;
    $("details").showModal();
    document.querySelector(".details").scrollTop = 0; // whatever got the focus, the face is seen first
  }

  function turn(key) {
    const to = neighbour(active, key);
    if (to !== undefined) { const before = active; open(to); unreach(before); }
  }

  function unreach(k) {
    const button = document.querySelector(`[data-image="${k}"]`);
    if (button) button.tabIndex = -1;
  }

  $("list").addEventListener("click", (event) => {
    const k = event.target.dataset.image;
    if (k === undefined) return;
    unreach(active);
    open(Number(k));
  });
  $("previous").addEventListener("click", () => turn("ArrowLeft"));
  $("next").addEventListener("click", () => turn("ArrowRight"));
  $("details").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") { event.preventDefault(); turn(event.key); }
  });
  $("details").addEventListener("close", () => focusOn(active));

  // --- start

  let waiting = false;
  function soon(work) {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; work(); });
  }
  const showAll = () => { $("tools").reset(); apply(); };
  $("tools").addEventListener("input", () => soon(apply));
  $("tools").addEventListener("submit", (event) => event.preventDefault());
  $("tools").addEventListener("reset", () => setTimeout(apply));
  $("all").addEventListener("click", showAll);
  addEventListener("scroll", () => soon(draw), { passive: true });
  let width = 0;
  new ResizeObserver(() => { if ($("list").clientWidth !== width) { width = $("list").clientWidth; layout(); } }).observe($("list"));
  addEventListener("DOMContentLoaded", () => {
    recall();
    apply();
    document.documentElement.dataset.ready = Math.round(performance.now()); // milliseconds to the first rows
  });
})();
