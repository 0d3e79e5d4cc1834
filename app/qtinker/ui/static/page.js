// The page's own script: the address follows what is shown, light and dark, hover lines on charts, kept focus.
(() => {
  const qt = (window.qt = {});
  const stored = (() => { try { return localStorage.getItem("qtinker-theme"); } catch { return null; } })();
  const applyTheme = (name) => document.body && document.body.classList.toggle("dark", name === "dark");
  qt.theme = () => {
    const next = document.body.classList.contains("dark") ? "light" : "dark";
    try { localStorage.setItem("qtinker-theme", next); } catch { /* private window */ }
    applyTheme(next);
  };
  // Drawing the page selects its first tab too: only what a person did may change the address.
  let touched = false;
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, () => { touched = true; }, true);
  qt.set = (values) => {
    if (!touched) return;
    const url = new URL(window.location.href);
    for (const [key, value] of Object.entries(values)) {
      if (value) url.searchParams.set(key, value); else url.searchParams.delete(key);
    }
    window.history.replaceState(window.history.state, "", url);
  };
  // The other language shows what this one does.
  qt.language = (link) => { link.search = window.location.search; };
  const chinese = (path) => path.startsWith("/zh");
  const switched = () => document.referrer.startsWith(window.location.origin)
    && chinese(new URL(document.referrer).pathname) !== chinese(window.location.pathname);
  // What is filled in outlives a reload, the browser's Back and another language: an address that is opened anew says
  // itself what to show.
  const KEPT = "qtinker-distil";
  const asked = () => ["from", "practice", "teacher", "student", "preset", "method"]
    .map((key) => new URLSearchParams(window.location.search).get(key));
  qt.keep = (paths, values) => {
    if (!touched) return;
    const filled = Object.fromEntries(paths.map((path, at) => [path, values[at]]));
    try { sessionStorage.setItem(KEPT, JSON.stringify({ asked: asked(), filled })); } catch { /* private window */ }
  };
  qt.kept = () => {
    try {
      const again = performance.getEntriesByType("navigation")[0]?.type !== "navigate" || switched();
      const kept = again && JSON.parse(sessionStorage.getItem(KEPT));
      return kept && String(kept.asked) === String(asked()) ? JSON.stringify(kept.filled) : "";
    } catch { return ""; }
  };
  // The chosen one of a long list is shown, not only marked.
  qt.reveal = (place) => requestAnimationFrame(() => setTimeout(() => {
    const chosen = document.querySelector(`${place} label.selected`), list = chosen && chosen.parentElement;
    if (list) list.scrollTop = chosen.offsetTop - list.offsetTop - (list.clientHeight - chosen.clientHeight) / 2;
  }, 150));
  // Where the columns stand below one another, what was chosen is drawn far from the list.
  qt.show = (place) => {
    const chosen = document.querySelector(place);
    if (chosen && chosen.getBoundingClientRect().top > 0.8 * window.innerHeight) chosen.scrollIntoView({ block: "start" });
  };
  qt.go = (query) => { window.location.assign(`${window.location.pathname}?${query}`); };

  const start = () => {
    document.documentElement.lang = chinese(window.location.pathname) ? "zh" : "en";
    if (stored && !new URLSearchParams(window.location.search).has("__theme")) {
      applyTheme(stored);
      let tries = 0;  // Gradio sets the class once more when it has drawn
      const timer = setInterval(() => { applyTheme(stored); if (++tries > 10 || !document.body) clearInterval(timer); }, 150);
      document.addEventListener("click", () => clearInterval(timer), { once: true });
    }
    new MutationObserver(keepFocus).observe(document.body, { childList: true, subtree: true });
  };

  // A list that is drawn anew must not throw the keyboard user out: the same key gets the focus back.
  let focused = null;
  document.addEventListener("focusin", (event) => { focused = event.target.closest?.("[data-key]")?.dataset.key ?? null; });
  document.addEventListener("pointerdown", () => { focused = null; });
  const keepFocus = () => {
    if (!focused || (document.activeElement && document.activeElement !== document.body)) return;
    document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };

  // Hover line on charts: the numbers are in data-chart.
  const clear = (plot) => plot.querySelectorAll(".qt-cursor, .qt-tip").forEach((node) => node.remove());
  const format = (value) => Number(value.toPrecision(4)).toString();
  document.addEventListener("pointermove", (event) => {
    const plot = event.target.closest?.(".qt-plot[data-chart]");
    document.querySelectorAll(".qt-plot .qt-cursor").forEach((node) => { if (node.parentElement !== plot) clear(node.parentElement); });
    if (!plot) return;
    const chart = JSON.parse(plot.dataset.chart);
    const box = plot.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const at = chart.x[0] + share * (chart.x[1] - chart.x[0]);
    clear(plot);
    const cursor = document.createElement("span");
    cursor.className = "qt-cursor"; cursor.style.left = `${100 * share}%`;
    const tip = document.createElement("div");
    tip.className = "qt-tip"; tip.style[share > 0.5 ? "right" : "left"] = `calc(${100 * (share > 0.5 ? 1 - share : share)}% + 10px)`;
    const head = document.createElement("div");
    head.textContent = `${chart.x_title} ${format(at)}`.trim(); tip.append(head);
    for (const series of chart.series) {
      const near = series.points.reduce((best, point) => Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best);
      const row = document.createElement("div"); row.className = `qt-c${series.colour}`;
      const name = document.createElement("span"); name.append(document.createElement("i"), series.name);
      const value = document.createElement("b"); value.textContent = format(near[1]);
      row.append(name, value); tip.append(row);
    }
    plot.append(cursor, tip);
  });

  if (document.body) start(); else document.addEventListener("DOMContentLoaded", start);
})();
