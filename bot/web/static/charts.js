// The charts: one data set, six charts over it that move together. Drawn by TradingView's lightweight-charts.
"use strict";

const charts = (() => {
  const L = window.LightweightCharts;
  const POINTS = 2400; // asked for at most
  const COARSE = 150; // fewer points than this in sight, and each stands for several bars: ask for finer ones
  const MARKED = 60; // trades that are marked in sight, the largest ones
  const DAY = 86400;
  const made = {}; // name -> {chart, series: {key: series}, main: key, legend, box}
  const state = { account: "", data: null, index: new Map(), logarithmic: false, zone: "UTC", asked: 0, moving: false };

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const faded = (color, part) => color + Math.round(255 * part).toString(16).padStart(2, "0");
  const number = (value, digits) =>
    value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
  const money = (value) => (Math.abs(value) >= 10 || value === 0 ? number(value, 2) : Number(value).toPrecision(6));
  const percent = (value) => number(value, 1) + " %";
  const axis = (value) => {
    const size = Math.abs(value);
    if (size >= 1e9) return number(value / 1e9, 2) + "B";
    if (size >= 1e6) return number(value / 1e6, 2) + "M";
    return size >= 1000 ? number(value, 0) : size >= 10 || size === 0 ? number(value, 2) : Number(value).toPrecision(4);
  };

  function written(seconds, parts) {
    return new Intl.DateTimeFormat("en-GB", { timeZone: state.zone, ...parts }).format(new Date(seconds * 1000));
  }
  const whole = (seconds) =>
    written(seconds, { weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const tick = (seconds, kind) =>
    [
      () => written(seconds, { year: "numeric" }),
      () => written(seconds, { month: "short" }),
      () => written(seconds, { day: "numeric", month: "short" }),
      () => written(seconds, { hour: "2-digit", minute: "2-digit" }),
      () => written(seconds, { hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    ][kind]();

  // What each chart draws: [key in the data, name, colour, form of a number, factor, kind, options]
  const PLANS = {
    price: { height: 360, format: axis, lines: [["close", "close", "--soft", money, 1, "candles"]] },
    exposure: { height: 150, format: percent, range: [0, 100], lines: [["exposure", "in coins", "--mine", percent, 100, "area"]] },
    equity: {
      height: 320, format: axis, lines: [
        ["mix", "constant mix", "--mix", money, 1, "line"], ["holding", "holding", "--hold", money, 1, "line"],
        ["value", "account", "--mine", money, 1, "bold"],
      ],
    },
    drawdown: {
      height: 180, format: percent, lines: [
        ["holding_drawdown", "holding", "--hold", percent, -100, "line"], ["drawdown", "account", "--mine", percent, -100, "area-below"],
      ],
    },
    chances: {
      height: 180, format: percent, range: [0, 100], lines: [
        ["hold", "hold", "--soft", percent, 100, "line"], ["buy", "buy", "--buy", percent, 100, "line"],
        ["sell", "sell", "--sell", percent, 100, "line"],
      ],
    },
    costs: { height: 150, format: axis, lines: [["costs", "commission and slippage", "--sell", money, 1, "area"]] },
  };

  function options(plan) {
    const ink = css("--soft"), line = css("--line");
    return {
      autoSize: true,
      layout: { background: { color: "transparent" }, textColor: ink, fontSize: 12, fontFamily: css("--font"), attributionLogo: false },
      grid: { vertLines: { visible: false }, horzLines: { color: line } },
      rightPriceScale: { borderVisible: false, minimumWidth: 76, ...(plan.range ? { scaleMargins: { top: 0.06, bottom: 0.03 } } : {}) },
      timeScale: {
        borderColor: line, timeVisible: true, secondsVisible: false, minBarSpacing: 0.05, rightOffset: 1,
        tickMarkFormatter: tick, lockVisibleTimeRangeOnResize: true,
      },
      crosshair: { mode: 0, vertLine: { color: ink, labelBackgroundColor: ink }, horzLine: { color: ink, labelBackgroundColor: ink } },
      localization: { timeFormatter: whole, priceFormatter: plan.format },
      handleScroll: { vertTouchDrag: false, mouseWheel: false },
      handleScale: { mouseWheel: false, axisPressedMouseMove: true },
    };
  }

  function styled(kind, color, plan) {
    const common = { priceLineVisible: false, lastValueVisible: kind !== "line" || plan !== PLANS.chances, crosshairMarkerRadius: 3 };
    if (plan.range)
      common.autoscaleInfoProvider = () => ({ priceRange: { minValue: plan.range[0], maxValue: plan.range[1] } });
    if (kind === "candles") {
      const up = css("--up"), down = css("--down");
      return { ...common, upColor: up, wickUpColor: up, downColor: down, wickDownColor: down, borderVisible: false };
    }
    if (kind === "area")
      return { ...common, lineColor: color, lineWidth: 2, topColor: faded(color, 0.28), bottomColor: faded(color, 0.04) };
    if (kind === "area-below")
      return { ...common, lineColor: color, lineWidth: 2, topColor: faded(color, 0.04), bottomColor: faded(color, 0.28), invertFilledArea: true };
    return { ...common, color, lineWidth: kind === "bold" ? 2 : 1.5, lineStyle: 0 };
  }

  function make(figure) {
    const name = figure.dataset.chart, plan = PLANS[name], box = figure.querySelector(".canvas");
    box.style.height = plan.height * (window.innerWidth < 640 ? 0.8 : 1) + "px";
    const chart = L.createChart(box, options(plan));
    const one = { name, plan, chart, box, legend: figure.querySelector(".legend"), series: {} };
    // Shading first, so that it lies below: hours the model had learned from, swaps, hours not traded on.
    for (const [key, top, bottom] of [["shade", 0, 0], ["missed", 0.96, 0]]) {
      one[key] = chart.addSeries(L.HistogramSeries, { priceScaleId: key, priceLineVisible: false, lastValueVisible: false, base: 0 });
      one[key].priceScale().applyOptions({ scaleMargins: { top, bottom }, visible: false });
    }
    for (const [key, , color, , , kind] of plan.lines) {
      const type = kind === "candles" ? L.CandlestickSeries : kind.startsWith("area") ? L.AreaSeries : L.LineSeries;
      one.series[key] = chart.addSeries(type, styled(kind, css(color), plan));
      one.main = key;
    }
    if (name === "price") one.markers = L.createSeriesMarkers(one.series.close, []);
    made[name] = one;
    chart.timeScale().subscribeVisibleLogicalRangeChange((range) => moved(one, range));
    chart.subscribeCrosshairMove((event) => pointed(one, event));
    box.addEventListener("keydown", keyed);
    box.addEventListener("wheel", (event) => wheeled(event, one), { passive: false });
  }

  // ---- all charts together

  function moved(from, range) {
    if (!range || state.moving || !state.data) return;
    state.moving = true;
    for (const one of Object.values(made)) {
      const scale = one.chart.timeScale(), now = scale.getVisibleLogicalRange();
      if (one !== from && !(now && Math.abs(now.from - range.from) + Math.abs(now.to - range.to) < 1e-6)) scale.setVisibleLogicalRange(range);
    }
    state.moving = false;
    clearTimeout(state.later);
    state.later = setTimeout(() => { mark(); refine(); }, 200);
  }

  function pointed(from, event) {
    if (state.pointing) return;
    const at = event.time === undefined ? null : state.index.get(event.time);
    state.pointing = true;
    for (const one of Object.values(made)) {
      if (one !== from) {
        const line = one.plan.lines.at(-1);
        if (at === null || at === undefined) one.chart.clearCrosshairPosition();
        else one.chart.setCrosshairPosition(state.data[line[0]][at] * line[4], event.time, one.series[line[0]]);
      }
      legend(one, at ?? null);
    }
    state.pointing = false;
  }

  function legend(one, at) {
    const data = state.data, place = at === null ? data.times.length - 1 : at;
    if (place < 0) return;
    one.legend.textContent = "";
    const add = (text, color) => {
      const part = document.createElement("span");
      if (color) { const dot = document.createElement("i"); dot.style.background = css(color); part.append(dot); }
      part.append(text);
      one.legend.append(part);
    };
    add(whole(data.times[place]));
    if (one.name === "price") {
      for (const key of ["open", "high", "low", "close"]) add(`${key} ${money(data[key][place])}`);
      if (data.bought[place]) add(`bought ${money(data.bought[place])}`, "--buy");
      if (data.sold[place]) add(`sold ${money(data.sold[place])}`, "--sell");
      if (data.untraded[place]) add("not traded on", "--soft");
      return;
    }
    for (const [key, name, color, form, factor] of [...one.plan.lines].reverse()) add(`${name} ${form(data[key][place] * factor)}`, color);
  }

  // A range that was asked for is in sight with the next frame only; what comes before that goes on from it.
  function goTo(scale, range) {
    state.target = range;
    scale.setVisibleLogicalRange(range);
    requestAnimationFrame(() => requestAnimationFrame(() => { if (state.target === range) state.target = null; }));
  }

  function keyed(event) {
    const scale = made.price.chart.timeScale(), range = state.target ?? scale.getVisibleLogicalRange();
    if (!range || event.ctrlKey || event.metaKey || event.altKey) return;
    const width = range.to - range.from, middle = (range.to + range.from) / 2;
    const shown = {
      ArrowLeft: [range.from - width / 10, range.to - width / 10], ArrowRight: [range.from + width / 10, range.to + width / 10],
      "+": [middle - width / 2.5, middle + width / 2.5], "-": [middle - width / 1.6, middle + width / 1.6],
    }[event.key === "=" ? "+" : event.key];
    if (!shown) return;
    event.preventDefault();
    goTo(scale, { from: shown[0], to: shown[1] });
  }

  // The wheel alone scrolls the page; with Ctrl (and so a pinch on a touchpad) it zooms, sideways it moves.
  function wheeled(event, one) {
    const scale = one.chart.timeScale(), range = state.target ?? scale.getVisibleLogicalRange();
    if (!range || (!event.ctrlKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY))) return;
    event.preventDefault();
    const width = range.to - range.from;
    if (!event.ctrlKey) {
      const by = (event.deltaX / one.box.clientWidth) * width;
      goTo(scale, { from: range.from + by, to: range.to + by });
      return;
    }
    const at = scale.coordinateToLogical(event.clientX - one.box.getBoundingClientRect().left) ?? range.to;
    const factor = Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY / 200)));
    goTo(scale, { from: at - (at - range.from) * factor, to: at + (range.to - at) * factor });
  }

  // ---- data

  async function ask(account, from, to) {
    const asked = ++state.asked;
    const query = new URLSearchParams({ account, points: POINTS, from: Math.max(0, Math.floor(from)), to: Math.ceil(to) });
    const answer = await fetch(`/charts?${query}`);
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const data = await answer.json();
    return asked === state.asked ? data : null;
  }

  function put(data) {
    state.data = data;
    state.index = new Map(data.times.map((time, place) => [time, place]));
    const sample = new Set(data.in_sample), swapped = new Set(data.swapped);
    const soft = faded(css("--soft"), 0.1), violet = faded(css("--mark"), 0.55), quiet = faded(css("--soft"), 0.7);
    const shade = data.times.map((time, n) =>
      swapped.has(n) ? { time, value: 1, color: violet } : sample.has(n) ? { time, value: 1, color: soft } : { time });
    const missed = data.times.map((time, n) => (data.untraded[n] ? { time, value: 1, color: quiet } : { time }));
    state.moving = true;
    for (const one of Object.values(made)) {
      one.shade.setData(shade);
      one.missed.setData(missed);
      for (const [key, , , , factor, kind] of one.plan.lines)
        one.series[key].setData(
          kind === "candles"
            ? data.times.map((time, n) => ({ time, open: data.open[n], high: data.high[n], low: data.low[n], close: data.close[n] }))
            : data.times.map((time, n) => ({ time, value: data[key][n] * factor })));
      legend(one, null);
    }
    state.moving = false;
    describe();
  }

  function describe() {
    const { data } = state, end = data.times.length - 1;
    if (end < 0) return;
    const texts = {
      price: `Price of ${data.base} in ${data.quote}, last ${money(data.close[end])}`,
      exposure: `Share of the value in coins, last ${percent(100 * data.exposure[end])}`,
      equity: `Value ${money(data.value[end])}, holding ${money(data.holding[end])}, constant mix ${money(data.mix[end])}`,
      drawdown: `Drawdown, last ${percent(100 * data.drawdown[end])}, deepest in sight ${percent(100 * Math.max(...data.drawdown))}`,
      chances: `Probabilities, last: hold ${percent(100 * data.hold[end])}, buy ${percent(100 * data.buy[end])}, sell ${percent(100 * data.sell[end])}`,
      costs: `Costs so far ${money(data.costs[end])}`,
    };
    for (const one of Object.values(made))
      one.box.setAttribute("aria-label", `${texts[one.name]}. ${whole(data.times[0])} to ${whole(data.times[end])}. Arrow keys move, plus and minus zoom.`);
  }

  function inSight() {
    const range = made.price.chart.timeScale().getVisibleLogicalRange(), end = state.data.times.length - 1;
    if (!range) return [0, end];
    return [Math.max(0, Math.floor(range.from)), Math.min(end, Math.ceil(range.to))];
  }

  function mark() {
    const { data } = state, [first, last] = inSight(), found = [];
    for (let n = first; n <= last; n++)
      for (const side of ["bought", "sold"])
        if (data[side][n] > 0) found.push({ n, side, share: data[side][n] / Math.max(data.value[n], 1e-9) });
    found.sort((a, b) => b.share - a.share);
    const shown = found.slice(0, MARKED).sort((a, b) => a.n - b.n);
    const most = Math.max(...shown.map((one) => one.share), 1e-9);
    made.price.markers.setMarkers(shown.map(({ n, side, share }) => ({
      time: data.times[n], position: side === "bought" ? "belowBar" : "aboveBar", shape: side === "bought" ? "arrowUp" : "arrowDown",
      color: css(side === "bought" ? "--buy" : "--sell"), size: 0.4 + 1.1 * Math.sqrt(share / most),
    })));
  }

  // Finer points where only a few are in sight, older ones where the left edge is passed.
  async function refine() {
    const { data } = state, range = made.price.chart.timeScale().getVisibleLogicalRange();
    if (!range || !data.times.length) return;
    const [first, last] = inSight(), end = data.times.length - 1;
    const coarse = data.bars > data.times.length && last - first < COARSE;
    const early = range.from < -2 && data.times[0] > data.first;
    const late = data.times[end] < data.last && range.to > end + 2;
    if (!coarse && !early && !late) return;
    const from = data.times[first], to = data.times[last], width = Math.max(to - from, 20 * data.bar);
    const more = early || late ? 4 * width : width;
    const fresh = await ask(state.account, from - more, to + more + data.bar);
    if (fresh && fresh.times.length) { put(fresh); show(from, to); mark(); }
  }

  function show(from, to) {
    state.moving = true;
    for (const one of Object.values(made)) one.chart.timeScale().setVisibleRange({ from, to });
    state.moving = false;
  }

  async function load(account, seconds) {
    const changed = account !== state.account;
    state.account = account;
    const last = changed || !state.data ? (await ask(account, 0, 99999999999))?.last : state.data.last;
    if (last === undefined) return;
    const fresh = await ask(account, seconds ? last - 3 * seconds : 0, 99999999999);
    if (!fresh) return;
    put(fresh);
    const end = fresh.times.at(-1);
    if (seconds && fresh.times[0] < last - seconds) show(last - seconds, end);
    else for (const one of Object.values(made)) one.chart.timeScale().fitContent();
    mark();
  }

  // A new bar: the same span and what came after it; whoever looks at the newest bar goes on doing so.
  async function update() {
    const { data } = state;
    if (!data || !data.times.length) return;
    const scale = made.price.chart.timeScale(), range = scale.getVisibleLogicalRange();
    const end = data.times.length - 1, atEnd = range && range.to >= end - 1;
    const [first, last] = inSight(), from = data.times[first], to = data.times[last];
    const fresh = await ask(state.account, data.times[0], 99999999999);
    if (!fresh || !fresh.times.length) return;
    if (!atEnd && data.times[end] < data.last) return; // looking at a stretch of the past
    put(fresh);
    if (atEnd) show(Math.max(fresh.times[0], from + (fresh.times.at(-1) - to)), fresh.times.at(-1));
    else show(from, to);
    mark();
  }

  function restyle() {
    for (const one of Object.values(made)) {
      one.chart.applyOptions(options(one.plan));
      for (const [key, , color, , , kind] of one.plan.lines) one.series[key].applyOptions(styled(kind, css(color), one.plan));
    }
    if (state.data) { const [first, last] = inSight(), { times } = state.data; put(state.data); show(times[first], times[last]); mark(); }
  }

  function setLogarithmic(on) {
    for (const name of ["price", "equity"]) made[name].chart.priceScale("right").applyOptions({ mode: on ? 1 : 0 });
  }

  function setZone(zone) { state.zone = zone; restyle(); }

  function start(account, seconds) {
    document.querySelectorAll("figure.live").forEach(make);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
    return load(account, seconds);
  }

  const ranges = () => Object.fromEntries(Object.values(made).map((one) => [one.name, one.chart.timeScale().getVisibleLogicalRange()]));
  return { start, load, update, setLogarithmic, setZone, ranges, data: () => state.data };
})();
