"use strict";
// Shows a run's log as it grows. Text only: nothing of a log ever becomes markup.
(() => {
  const pre = document.getElementById("log");
  const source = new EventSource(`/api/runs/${pre.dataset.run}/log?follow=true`);
  // Colours and cursor movements of terminals.
  const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|.)/g;
  const atEnd = () => window.innerHeight + window.scrollY >= document.body.scrollHeight - 40;
  source.addEventListener("attempt", () => pre.replaceChildren());
  source.onmessage = (event) => {
    const follow = atEnd();
    pre.append(document.createTextNode(`${event.data.replace(escapes, "")}\n`));
    if (follow) window.scrollTo(0, document.body.scrollHeight);
  };
  source.addEventListener("elsewhere", (event) => pre.replaceChildren(document.createTextNode(`${event.data}\n`)));
  source.addEventListener("end", (event) => {
    source.close();
    pre.append(document.createTextNode(`— ${event.data} —\n`));
  });
})();
