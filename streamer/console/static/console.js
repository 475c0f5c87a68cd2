// Draws the live part of a page again every ten seconds. Without this script, reload the page.
"use strict";
(() => {
  const EVERY_MS = 10_000;
  const live = document.querySelector("[data-refresh]");
  if (!live) return;

  const bar = document.createElement("p");
  const button = document.createElement("button");
  const said = document.createElement("span");
  bar.className = "refreshing";
  button.className = "link";
  button.type = "button";
  said.setAttribute("role", "status");
  bar.append(said, button);
  document.querySelector(".heading").append(bar);

  let pauses = false;
  const show = () => {
    button.textContent = pauses ? "Refresh by itself" : "Stop refreshing";
  };
  button.addEventListener("click", () => {
    pauses = !pauses;
    show();
  });
  show();

  // A reader's scroll position, open parts and selection are kept.
  const isInUse = () => live.contains(document.activeElement) || !getSelection().isCollapsed;

  const refresh = async () => {
    if (pauses || document.hidden || isInUse()) return;
    try {
      const address = location.pathname.replace(/\/test$/, "") + location.search;
      const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const drawn = page.getElementById(live.id);
      if (!answer.ok || !drawn) throw new Error(String(answer.status));
      if (pauses || isInUse()) return;
      const open = [...live.querySelectorAll("details")].map((each) => each.open);
      live.replaceChildren(...drawn.childNodes);
      live.querySelectorAll("details").forEach((each, number) => { each.open = open[number] ?? false; });
      said.textContent = "";
    } catch {
      said.textContent = "The daemon does not answer, or your session has ended: reload the page.";
    }
  };
  setInterval(refresh, EVERY_MS);
})();
