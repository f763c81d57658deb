"use strict";
// Shows a run's log as it grows. Text only: nothing of a log ever becomes markup.
(() => {
  // What a browser shows without becoming slow; the whole log is a link.
  const MOST_LINES = 20000;
  const MOST_CHARACTERS = 8 << 20;
  const pre = document.getElementById("log");
  const note = document.getElementById("note");
  const left = document.getElementById("left");
  const live = document.getElementById("live");
  const source = new EventSource(`/api/runs/${pre.dataset.run}/log?follow=true`);
  // Colours, cursor movements, titles and character sets of terminals.
  const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b\n]*(?:\u0007|\u001b\\)|[ -/]+[0-~]|.)/g;
  let shown = [];
  let lines = 0;
  let characters = 0;
  let dropped = 0;

  const clear = () => {
    pre.replaceChildren();
    [shown, lines, characters, dropped] = [[], 0, 0, 0];
    left.hidden = true;
  };
  const append = (text) => {
    const node = document.createTextNode(`${text}\n`);
    const piece = { node, lines: text.split("\n").length, characters: text.length + 1 };
    pre.append(node);
    shown.push(piece);
    lines += piece.lines;
    characters += piece.characters;
    while (shown.length > 1 && (lines > MOST_LINES || characters > MOST_CHARACTERS)) {
      const first = shown.shift();
      first.node.remove();
      lines -= first.lines;
      characters -= first.characters;
      dropped += first.lines;
    }
    if (dropped > 0) {
      left.textContent = `${dropped} earlier lines are in the whole log only.`;
      left.hidden = false;
    }
  };
  // Whoever has scrolled up reads; nobody is taken from there.
  const page = document.documentElement;
  const atEnd = () => window.innerHeight + window.scrollY >= page.scrollHeight - 40;
  const following = (change) => {
    const follow = atEnd();
    change();
    if (follow) window.scrollTo(0, page.scrollHeight);
  };

  source.onopen = () => { note.textContent = ""; };
  // A browser comes back by itself, and says where it was; but not to a server that has refused it.
  source.onerror = () => {
    note.textContent = source.readyState === EventSource.CLOSED
      ? "The log cannot be followed now: load the page again, or open the whole log."
      : "The connection is lost; it is tried again.";
  };
  source.onmessage = (event) => following(() => append(event.data.replace(escapes, "")));
  source.addEventListener("attempt", clear);
  source.addEventListener("elsewhere", (event) => {
    clear();
    append(event.data);
  });
  source.addEventListener("end", (event) => {
    // Else the browser would come back for ever.
    source.close();
    following(() => append(`— ${event.data} —`));
    if (live) {
      live.textContent = "";
      note.textContent = "The run has ended: load the page again for its steps and outputs.";
    }
  });
})();
