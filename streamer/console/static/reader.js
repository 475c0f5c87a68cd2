// Shows each time also in the reader's time zone, and puts a button that copies beside each id.
"use strict";
(() => {
  const clock = { hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
  const sameDay = new Intl.DateTimeFormat(undefined, clock);
  const otherDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", ...clock });
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

  const addLocal = (time) => {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime()) || at.getTimezoneOffset() === 0) return;
    // The style sheet shows the attribute, so a copied text has the time in UTC alone.
    time.dataset.local = (at.getDate() === at.getUTCDate() ? sameDay : otherDay).format(at);
    time.title = whole.format(at);
  };

  const addCopy = (holder) => {
    const text = holder.dataset.copy || holder.textContent.trim();
    if (!text || !navigator.clipboard || holder.querySelector(".copy")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${text}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2_000);
    });
    holder.append(" ", button);
  };

  const complete = (root) => {
    root.querySelectorAll("time[datetime]:not([data-local])").forEach(addLocal);
    root.querySelectorAll("[data-copy]").forEach(addCopy);
  };

  complete(document);
  // Other scripts draw parts of the page again.
  new MutationObserver((changes) => {
    if (changes.some((each) => [...each.addedNodes].some((node) => node.nodeType === 1))) complete(document);
  }).observe(document.body, { childList: true, subtree: true });
})();
