// Adds new events to the live tail as the daemon sends them. Without this script, a reload shows the newest events.
"use strict";
(() => {
  const MOST_ROWS = 200;
  const AGAIN_MS = 3_000;
  const tail = document.getElementById("tail");
  if (!tail) return;
  const body = tail.querySelector("tbody");
  const counts = document.getElementById("counts");

  const bar = document.createElement("p");
  const button = document.createElement("button");
  const said = document.createElement("span");
  bar.className = "refreshing";
  button.className = "small";
  button.type = "button";
  said.setAttribute("role", "status");
  bar.append(button, said);
  counts.before(bar);

  // Rows move by themselves only for readers who have not asked for less motion.
  let pauses = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let follows = false;
  let waiting = [];
  let reading = null;
  const told = { shown: 0, dropped: 0, skipped: 0, failed: 0 };

  const say = (sentence) => {
    if (said.textContent !== sentence) said.textContent = sentence;
  };
  const count = () => {
    const parts = [`${told.shown} new ${told.shown === 1 ? "event" : "events"} shown`];
    if (waiting.length) parts.push(`${waiting.length} wait`);
    parts.push(`${told.dropped} dropped, because they came too fast`);
    parts.push(`about ${told.skipped} offsets of the log skipped`);
    if (told.failed) parts.push(`the expression fails on ${told.failed}: ${told.error}`);
    counts.textContent = `${parts.join("; ")}.`;
  };
  const state = () => {
    button.textContent = pauses ? "Follow" : "Pause";
    say(pauses ? "Paused: new events wait." : follows ? "Following." : "Connecting.");
  };

  // The newest row comes first, also among waiting rows.
  const rowsOf = (html) =>
    [...new DOMParser().parseFromString(`<table><tbody>${html}</tbody></table>`, "text/html").querySelectorAll("tbody tr")];
  const unknown = (rows) => {
    const known = new Set([...waiting, ...body.rows].map((row) => row.dataset.place));
    return rows.filter((row) => !known.has(row.dataset.place));
  };
  // A reader's scroll position and selection are kept.
  const isInUse = () => body.contains(document.activeElement) || !getSelection().isCollapsed;
  const draw = () => {
    if (waiting.length && !pauses && !isInUse()) {
      waiting.forEach((row) => row.classList.add("new"));
      body.prepend(...waiting);
      told.shown += waiting.length;
      waiting = [];
      while (body.rows.length > MOST_ROWS) body.lastElementChild.remove();
    }
    count();
  };
  const add = (rows) => {
    waiting = [...unknown(rows), ...waiting];
    told.dropped += Math.max(0, waiting.length - MOST_ROWS);
    waiting.length = Math.min(waiting.length, MOST_ROWS);
    draw();
  };
  button.addEventListener("click", () => {
    pauses = !pauses;
    state();
    draw();
  });

  const asked = (address) =>
    fetch(address, { credentials: "same-origin", cache: "no-store", signal: reading.signal });
  // Events appended between the page and the first line are on the page if it is drawn again.
  const catchUp = async () => {
    const answer = await asked(location.pathname + location.search);
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    add([...page.querySelectorAll("#tail tbody tr")]);
  };
  const take = async (line) => {
    for (const name of ["dropped", "skipped", "failed"]) told[name] += line[name];
    if (line.error) told.error = line.error;
    if (line.following) {
      follows = true;
      await catchUp();
      state();
    }
    if (line.rows) add(rowsOf(line.rows));
    else draw();
    if (line.trouble) say(line.trouble);
  };
  const read = async (stream) => {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    let begun = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (begun + value).split("\n");
      begun = lines.pop();
      for (const line of lines) await take(JSON.parse(line));
    }
  };

  // Returns false when a retry is useless.
  const follow = async () => {
    reading = new AbortController();
    try {
      const answer = await asked(tail.dataset.rows);
      if (answer.ok && !answer.redirected) {
        await read(answer.body);
        return true;
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const reason = page.querySelector(".notice")?.textContent ?? "";
      say(answer.redirected ? "Your session has ended: reload the page." : `${reason} Reload the page to try again.`);
      return answer.status >= 500;
    } catch {
      if (!document.hidden) say("The daemon does not answer. Retrying.");
      return true;
    } finally {
      reading.abort();
      follows = false;
    }
  };
  const isShown = () =>
    new Promise((resolve) => {
      const look = () => {
        if (document.hidden) return;
        document.removeEventListener("visibilitychange", look);
        resolve();
      };
      document.addEventListener("visibilitychange", look);
      look();
    });
  // A hidden page must not cost the daemon anything.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) reading?.abort();
  });

  const run = async () => {
    state();
    count();
    do {
      await isShown();
    } while ((await follow()) && (await new Promise((resolve) => setTimeout(() => resolve(true), AGAIN_MS))));
  };
  run();
})();
