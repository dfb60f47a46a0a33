"use strict";
(() => {
  const PAGE = 5;

  const charts = JSON.parse(document.getElementById("charts").textContent);
  for (const [name, spec] of Object.entries(charts)) {
    vegaEmbed(`#chart-${name}`, spec, { actions: false, renderer: "svg" }).catch(console.error);
  }

  const rows = [...document.querySelectorAll("#rows > .row")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const search = document.getElementById("search");
  const back = document.getElementById("back");
  const next = document.getElementById("next");
  let page = 0;

  function show() {
    const wanted = search.value.trim().toLowerCase();
    const found = rows.filter((_, index) => texts[index].includes(wanted));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(page, pages - 1);
    const shown = found.slice(page * PAGE, (page + 1) * PAGE);
    rows.forEach((row) => { row.hidden = !shown.includes(row); });
    back.disabled = page === 0;
    next.disabled = page === pages - 1;
    document.getElementById("none").hidden = found.length > 0;
    document.getElementById("where").textContent = found.length
      ? `${page * PAGE + 1} to ${page * PAGE + shown.length} of ${found.length}` : "0 rows";
    mark(wanted, shown);
    fold();
  }

  // Marks what was searched for without touching the texts, in browsers that can.
  function mark(wanted, shown) {
    if (!window.Highlight) return;
    const ranges = [];
    if (wanted) {
      for (const row of shown) {
        for (const pre of row.querySelectorAll("pre")) {
          const node = pre.firstChild;
          const text = node ? node.data.toLowerCase() : "";
          for (let at = text.indexOf(wanted); at >= 0 && ranges.length < 500; at = text.indexOf(wanted, at + wanted.length)) {
            if (at + wanted.length > node.length) break;
            const range = new Range();
            range.setStart(node, at);
            range.setEnd(node, at + wanted.length);
            ranges.push(range);
          }
        }
      }
    }
    CSS.highlights.set("search", new Highlight(...ranges));
  }

  // A long text is cut by its height, and opened on request.
  function fold() {
    for (const pre of document.querySelectorAll("#rows > .row:not([hidden]) pre:not([data-seen])")) {
      pre.dataset.seen = "";
      if (pre.scrollHeight <= pre.clientHeight + 8) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "more";
      button.textContent = "Show all";
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => {
        const open = pre.classList.toggle("open");
        button.textContent = open ? "Show less" : "Show all";
        button.setAttribute("aria-expanded", String(open));
      });
      pre.after(button);
    }
  }

  function turn(by) {
    page += by;
    show();
    document.getElementById("samples").scrollIntoView();
  }

  search.addEventListener("input", () => { page = 0; show(); });
  back.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  document.querySelector(".controls").hidden = false;
  show();

  const copy = document.getElementById("copy");
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("command").textContent);
    copy.textContent = "Copied";
  });
})();
