() => {
  // Theme and projector switches live in the page alone; the theme is remembered by the browser.
  const root = document.body;
  try {
    const remembered = localStorage.getItem("cvdemo-theme");
    if (remembered) root.classList.toggle("dark", remembered === "dark");
  } catch (_) { /* private windows may refuse storage: the switch still works for this visit */ }

  const addresses = {};
  window.cvdemo = {
    toggleTheme() {
      const dark = root.classList.toggle("dark");
      try { localStorage.setItem("cvdemo-theme", dark ? "dark" : "light"); } catch (_) { /* as above */ }
    },
    projector(on) { root.classList.toggle("projector", Boolean(on)); },

    // Keep the page's address in step with the controls: only values that differ from their default are named.
    rememberInAddress(names, defaults, values) {
      const query = new URLSearchParams(window.location.search);
      names.forEach((name, i) => {
        const value = values[i], usual = defaults[i];
        const same = JSON.stringify(value) === JSON.stringify(usual) || value === null || value === undefined;
        if (same) query.delete(name);
        else if (Array.isArray(value)) query.set(name, value.join(","));
        else if (typeof value === "number") query.set(name, String(Number(value.toFixed(4))));
        else query.set(name, String(value));
      });
      const text = query.toString();
      history.replaceState(null, "", window.location.pathname + (text ? "?" + text : ""));
    },

    // Each task keeps its own part of the address while another one is open. The first task needs no name in it.
    openTask(name) {
      const now = new URLSearchParams(window.location.search).get("tab") || "detection";
      if (now === name) return;
      addresses[now] = window.location.search;
      const fresh = name === "detection" ? "" : "?tab=" + name;
      history.replaceState(null, "", window.location.pathname + (addresses[name] ?? fresh));
      for (const { id } of document.querySelectorAll("[id$='-camera']")) {
        if (!id.startsWith(name)) window.cvdemo.stopCamera(id);
      }
    },

    // A webcam that nobody watches would keep its place in the queue.
    stopCamera(id) {
      const button = document.querySelector("#" + id + " .capture-button");
      if (button && button.querySelector("[title='stop recording']")) button.click();
    },

    clickHidden(id) {
      const target = document.querySelector("#" + id + " a, #" + id + " button") || document.querySelector("#" + id);
      if (target) target.click();
    },
  };
  // A menu that can be searched would append what is typed to the name of the present choice.
  document.addEventListener("focusin", (event) => {
    const field = event.target;
    if (field.matches?.("input[role='combobox']") && !field.readOnly) setTimeout(() => field.select(), 0);
  });
  // Thumbnails of examples are buttons without words; the file's name is one for screen readers.
  const nameExamples = () => {
    for (const button of document.querySelectorAll(".gallery-item:not([aria-label])")) {
      const source = button.querySelector("img, video")?.src || "";
      const name = decodeURIComponent(source.split(/[/=]/).pop() || "").replace(/[.][a-z0-9]+$/i, "");
      if (name) button.setAttribute("aria-label", "Example: " + name.replace(/[_-]+/g, " "));
    }
  };
  document.addEventListener("focusin", nameExamples);
  for (const delay of [1500, 4000, 9000]) setTimeout(nameExamples, delay);
  document.documentElement.lang = "en";
}
