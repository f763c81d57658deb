// Runs the script of a run's page, whose path is the argument, in a page and on a stream that are made up here, and looks at
// what a reader sees.
"use strict";
const assert = require("node:assert");
const fs = require("node:fs");
const vm = require("node:vm");

const script = fs.readFileSync(process.argv[2], "utf8");

// Only what a text needs: who tries to make markup finds nothing to do it with.
class Element {
  constructor(id) {
    this.id = id;
    this.dataset = {};
    this.children = [];
    this.own = "";
    this.hidden = true;
  }

  append(...nodes) {
    for (const node of nodes) {
      assert.ok(node.isText, "only text is appended");
      node.parent = this;
      this.children.push(node);
    }
  }

  replaceChildren(...nodes) {
    this.children = [];
    this.append(...nodes);
  }

  get textContent() { return this.own + this.children.map((node) => node.text).join(""); }
  set textContent(text) { this.own = text; }
  set innerHTML(_) { assert.fail("a log becomes markup"); }
  insertAdjacentHTML() { assert.fail("a log becomes markup"); }
}

// A page whose every line is 20 high, in a window of 100, of a run that goes on or has ended.
function open({ goesOn = true } = {}) {
  const ids = goesOn ? ["log", "note", "left", "live"] : ["log", "note", "left"];
  const elements = new Map(ids.map((id) => [id, new Element(id)]));
  const log = elements.get("log");
  log.dataset.run = "12";
  const height = () => 20 * log.textContent.split("\n").length;
  const window = { innerHeight: 100, scrollY: 0, scrolled: 0 };
  window.scrollTo = (_, y) => {
    window.scrollY = Math.max(0, Math.min(y, height()) - window.innerHeight);
    window.scrolled += 1;
  };
  const document = {
    getElementById: (id) => elements.get(id) ?? null,
    createTextNode: (text) => ({
      isText: true,
      text,
      remove() { this.parent.children = this.parent.children.filter((node) => node !== this); },
    }),
    write() { assert.fail("a log becomes markup"); },
    documentElement: { get scrollHeight() { return height(); } },
    body: { get scrollHeight() { return height(); } },
  };
  const sources = [];
  class EventSource {
    constructor(address) {
      this.address = address;
      this.readyState = EventSource.CONNECTING;
      this.listeners = new Map();
      sources.push(this);
    }

    addEventListener(name, listener) { this.listeners.set(name, listener); }

    close() { this.readyState = EventSource.CLOSED; }

    tell(data, name = "message") {
      assert.notStrictEqual(this.readyState, EventSource.CLOSED, "nothing comes after the end");
      const listener = name === "message" ? this.onmessage : this.listeners.get(name);
      assert.ok(listener, `somebody listens to ${name}`);
      listener({ data });
    }
  }
  Object.assign(EventSource, { CONNECTING: 0, OPEN: 1, CLOSED: 2 });
  vm.runInNewContext(script, { document, window, EventSource });
  assert.strictEqual(sources.length, 1);
  return { source: sources[0], window, log, note: elements.get("note"), left: elements.get("left"), live: elements.get("live") };
}

const cases = {
  "lines are text, and nothing of a terminal is left in them"() {
    const { source, log } = open();
    assert.strictEqual(source.address, "/api/runs/12/log?follow=true");
    source.tell("<b>one</b>\n<script>alert(1)</script>");
    source.tell("\u001b[31mred\u001b[0m \u001b]0;title\u0007plain \u001b(Bset \u001b[2Kdone");
    assert.strictEqual(log.textContent, "<b>one</b>\n<script>alert(1)</script>\nred plain set done\n");
  },
  "a new attempt begins an empty page"() {
    const { source, log, left } = open();
    source.tell("of the first");
    source.tell("2", "attempt");
    assert.strictEqual(log.textContent, "");
    assert.ok(left.hidden);
    source.tell("of the second");
    assert.strictEqual(log.textContent, "of the second\n");
  },
  "whoever is at the end is taken along, and whoever reads further up is not"() {
    const { source, window } = open();
    for (let n = 0; n < 50; n += 1) source.tell(`line ${n}`);
    assert.strictEqual(window.scrollY, 20 * 51 - 100, "it is at the end");
    const { scrolled } = window;
    window.scrollY = 200;
    source.tell("another");
    assert.deepStrictEqual([window.scrollY, window.scrolled], [200, scrolled]);
    window.scrollY = 20 * 52 - 100 - 30;
    source.tell("nearly at the end");
    assert.strictEqual(window.scrollY, 20 * 53 - 100);
  },
  "a page holds so many lines and characters, and says how many it has left out"() {
    const { source, log, left } = open();
    const piece = Array.from({ length: 1000 }, (_, n) => `line ${n}`).join("\n");
    for (let n = 0; n < 25; n += 1) source.tell(piece);
    assert.strictEqual(log.textContent.split("\n").length - 1, 20000);
    assert.deepStrictEqual([left.hidden, left.textContent], [false, "5000 earlier lines are in the whole log only."]);
    source.tell("2", "attempt");
    assert.ok(left.hidden);
    for (let n = 0; n < 150; n += 1) source.tell("x".repeat(64 << 10));
    assert.ok(log.textContent.length <= 8 << 20, `${log.textContent.length}`);
  },
  "a connection that is lost is said, and that it is back"() {
    const { source, log, note } = open();
    source.tell("before");
    source.onerror();
    assert.strictEqual(note.textContent, "The connection is lost; it is tried again.");
    source.readyState = 1;
    source.onopen();
    assert.strictEqual(note.textContent, "");
    source.tell("after");
    assert.strictEqual(log.textContent, "before\nafter\n", "what was there stays, for the stream goes on from there");
    source.readyState = 2;
    source.onerror();
    assert.match(note.textContent, /cannot be followed now/);
  },
  "the end closes the stream, so that no browser comes back for ever"() {
    const { source, log, note, live } = open();
    live.textContent = "live";
    source.tell("last");
    source.tell("failed", "end");
    assert.strictEqual(source.readyState, 2);
    assert.strictEqual(log.textContent, "last\n— failed —\n");
    assert.deepStrictEqual([live.textContent, /load the page again/.test(note.textContent)], ["", true]);
    const over = open({ goesOn: false });
    over.source.tell("succeeded", "end");
    assert.deepStrictEqual([over.note.textContent, over.source.readyState], ["", 2]);
  },
  "a log that is elsewhere is said to be there, and nothing else is shown"() {
    const { source, log } = open();
    source.tell("old");
    source.tell("the log of run 12 is with the worker `<far>`", "elsewhere");
    assert.strictEqual(log.textContent, "the log of run 12 is with the worker `<far>`\n");
  },
};

for (const [name, check] of Object.entries(cases)) {
  check();
  console.log(`ok: ${name}`);
}
console.log(`${Object.keys(cases).length} cases`);
