"use strict";
(() => {
  const main = document.getElementById("main");
  const live = document.getElementById("live");
  let lastGood = Date.now();
  live.textContent = "Live";
  const draw = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const next = fresh.getElementById("main");
    if (!next) throw new Error("no page");
    // What the reader opened stays open.
    const opened = [...main.querySelectorAll("details")].map((d) => d.open);
    if (next.innerHTML !== main.innerHTML) {
      main.replaceChildren(...next.childNodes);
      const now = [...main.querySelectorAll("details")];
      if (now.length === opened.length) now.forEach((d, i) => { d.open = opened[i]; });
      document.title = fresh.title;
    }
    return next.dataset.open === "yes";
  };
  const again = (wait) => setTimeout(poll, wait);
  const poll = async () => {
    if (document.hidden) return again(2000);
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
      if (!answer.ok || answer.redirected) throw new Error("not now");
      const open = draw(await answer.text());
      lastGood = Date.now();
      live.textContent = open ? "Live" : "";
      if (open) again(2000);
    } catch {
      const since = Math.round((Date.now() - lastGood) / 1000);
      live.textContent = `Not live, last change seen ${since} s ago. Reload to sign in again.`;
      again(5000);
    }
  };
  again(2000);
})();
