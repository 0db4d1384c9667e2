// The page: new bars arrive by themselves, a lost connection is said and mended, and what changes something shows the token.
"use strict";

(() => {
  const $ = (selector) => document.querySelector(selector);
  const QUIET_SECONDS = 25; // without a heartbeat the connection counts as lost
  const body = document.body;
  const begun = Date.now() / 1000;
  const state = { account: body.dataset.main, zone: "UTC", token: "", heard: Date.now(), source: null, compare: 0 };
  const now = () => Number(body.dataset.now) + (Date.now() / 1000 - begun) * Number(body.dataset.speed);

  // ---- connection

  function say(words, lost) {
    const line = $("#connection");
    if (line.textContent !== words) line.textContent = words;
    line.classList.toggle("lost", lost);
  }

  function connect() {
    state.source?.close();
    const source = (state.source = new EventSource("/api/v1/stream"));
    const on = (kind, act) =>
      source.addEventListener(kind, (event) => { state.heard = Date.now(); say("live", false); act?.(JSON.parse(event.data)); });
    on("heartbeat");
    on("ready", () => location.reload());
    on("waiting", (data) => {
      const line = $("#waiting");
      if (line) line.textContent = data.detail;
      say("the ledger cannot be read now: " + data.detail, true);
    });
    on("bar", () => soon(["now", "trades", "decisions", "charts", "compare"]));
    on("swap", () => soon(["events", "models"]));
    on("event", () => soon(["events", "models", "now"]));
    on("reset", () => soon(["now", "trades", "decisions", "events", "models", "charts", "compare"]));
    source.onerror = () => say("connection lost, trying again", true);
  }

  function watch() {
    if (Date.now() - state.heard > QUIET_SECONDS * 1000) {
      say("connection lost, trying again", true);
      state.heard = Date.now();
      connect();
      if (!("waiting" in body.dataset)) soon(["now", "trades", "decisions", "events", "models", "charts"]);
    }
  }

  // ---- parts

  const due = new Set();
  let timer = null;

  // Several bars at once are one change; on a fast clock once in two seconds is enough.
  function soon(parts) {
    if ("waiting" in body.dataset) { location.reload(); return; }
    parts.forEach((part) => due.add(part));
    timer ??= setTimeout(async () => {
      const all = [...due];
      due.clear();
      try { await Promise.all(all.map(refresh)); } catch { /* the connection's line says so */ }
      timer = null;
      if (due.size) soon([]);
    }, state.refreshed && Date.now() - state.refreshed < 2000 ? 2000 : 0);
  }

  async function refresh(part) {
    state.refreshed = Date.now();
    if (part === "charts") return charts.update();
    if (part === "compare") {
      if (Date.now() - state.compare < 60000) return undefined;
      return compare();
    }
    const query = new URLSearchParams({ account: state.account });
    const answer = await fetch(`/parts/${part}?${query}`);
    if (!answer.ok) return undefined;
    put(part === "now" ? $("#now") : $(`[data-part="${part}"]`), await answer.text());
    if (part === "now") title();
    return undefined;
  }

  // The same numbers again change nothing, and keep the place of whoever reads or scrolls.
  function put(box, html) {
    if (box.lastHtml === html) return;
    box.lastHtml = html;
    const scrolled = box.querySelector(".scroll")?.scrollLeft ?? 0;
    box.innerHTML = html; // the server has escaped it
    const inner = box.querySelector(".scroll");
    if (inner) inner.scrollLeft = scrolled;
    times(box);
    count();
  }

  async function compare() {
    state.compare = Date.now();
    const names = [...document.querySelectorAll('[name="compare"]:checked')].map((box) => box.value);
    if (!names.length) { $('[data-part="compare"]').innerHTML = '<p class="soft">Choose an account.</p>'; return; }
    const answer = await fetch(`/parts/compare?${new URLSearchParams({ accounts: names.join(",") })}`);
    if (answer.ok) put($('[data-part="compare"]'), await answer.text());
  }

  function title() {
    const card = [...document.querySelectorAll(".card")].find((one) => one.dataset.account === state.account);
    if (!card) return;
    const value = Number(card.dataset.value).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    document.title = `${value} ${state.account} - hourhand`;
    $("#pause").textContent = card.querySelector(".light.paused") ? "Resume" : "Pause";
  }

  // ---- times

  function times(box) {
    for (const time of box.querySelectorAll("time[datetime]")) {
      const date = new Date(time.dateTime);
      time.textContent =
        state.zone === "UTC"
          ? time.dateTime.slice(0, 16).replace("T", " ")
          : new Intl.DateTimeFormat("sv-SE", { timeZone: state.zone, dateStyle: "short", timeStyle: "short" }).format(date);
    }
  }

  function count() {
    for (const time of document.querySelectorAll("time.countdown")) {
      const left = Number(time.dataset.due) - now();
      const words = left <= 0 ? (left < -120 ? `${span(-left)} ago` : "now") : `in ${span(left)}`;
      if (time.textContent !== words) time.textContent = words;
    }
  }

  function span(seconds) {
    const s = Math.floor(seconds), two = (n) => String(n).padStart(2, "0");
    if (s >= 172800) return `${Math.floor(s / 86400)} days`;
    return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${two(Math.floor(s / 60))}:${two(s % 60)}`;
  }

  // ---- what changes something

  async function act(address, what) {
    if (!state.token) return ask(address, what);
    const answer = await fetch(`/api/v1/${address}`, { method: "POST", headers: { Authorization: `Bearer ${state.token}` } });
    const problem = answer.ok ? "" : (await answer.json()).detail;
    if (answer.status === 401 || answer.status === 403 || answer.status === 429) {
      state.token = "";
      return ask(address, what, problem);
    }
    if (problem) say(problem, true);
    soon(["models", "now", "events"]);
    return undefined;
  }

  function ask(address, what, problem = "") {
    const dialog = $("#ask");
    $("#ask-what").textContent = what;
    $("#ask-problem").textContent = problem;
    $("#token").value = "";
    dialog.returnValue = "";
    dialog.onclose = () => {
      state.token = $("#token").value;
      $("#token").value = "";
      if (dialog.returnValue === "ok" && state.token) act(address, what);
      else state.token = "";
    };
    if (!dialog.open) dialog.showModal();
  }

  // ---- start

  function wire() {
    const range = () => Number($("[data-range][aria-pressed=true]").dataset.range);
    const fail = (error) => say(error.message, true);
    $("#account").addEventListener("change", (event) => {
      state.account = event.target.value;
      charts.load(state.account, range()).catch(fail);
      soon(["trades", "decisions"]);
      title();
    });
    for (const button of document.querySelectorAll("[data-range]"))
      button.addEventListener("click", () => {
        document.querySelectorAll("[data-range]").forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
        charts.load(state.account, range()).catch(fail);
      });
    $("#log").addEventListener("click", (event) => {
      const on = event.target.getAttribute("aria-pressed") !== "true";
      event.target.setAttribute("aria-pressed", String(on));
      charts.setLogarithmic(on);
    });
    $("#zone").addEventListener("click", (event) => {
      const local = Intl.DateTimeFormat().resolvedOptions().timeZone, on = state.zone === "UTC";
      state.zone = on ? local : "UTC";
      event.target.textContent = on ? `times in ${local}` : "times in UTC";
      event.target.setAttribute("aria-pressed", String(on));
      charts.setZone(state.zone);
      times(document);
    });
    $("#pause").addEventListener("click", (event) => {
      const word = event.target.textContent, name = encodeURIComponent(state.account);
      act(`accounts/${name}/${word.toLowerCase()}`, `${word} ${state.account}`);
    });
    $("#ask-cancel").addEventListener("click", () => $("#ask").close("cancel"));
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) act(button.dataset.do, button.dataset.what);
    });
    document.querySelectorAll('[name="compare"]').forEach((box) => box.addEventListener("change", compare));
    document.querySelectorAll("[data-part], #now").forEach((box) => { box.lastHtml = box.innerHTML; });
    charts.start(state.account, range()).catch(fail);
    title();
    count();
    setInterval(count, 1000);
    compare().catch(() => {});
  }

  if (!("waiting" in body.dataset)) wire();
  connect();
  setInterval(watch, 5000);
})();
