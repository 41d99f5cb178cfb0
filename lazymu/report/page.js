
"use strict";
(() => {
  const MISSING = 255;
  const LEVELS = 254;
  const MOST_LABELS = 40;
  const MOST_SPREAD = 0.75;
  // Nine colours of viridis, between which numbers are shown.
  const RAMP = ["#440154", "#482878", "#3e4a89", "#31688e", "#26838f", "#1f9d8a", "#6cce5a", "#b6de2b", "#fee825"];
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  const make = (name, className, text) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  // --- colours ------------------------------------------------------------------------------------

  const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const css = (rgb) => `rgb(${rgb.map(Math.round).join(",")})`;
  const mixed = (a, b, share) => a.map((one, n) => one + (b[n] - one) * share);
  const variable = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const brightness = (rgb) => (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) / 255;

  const ramp = (() => {
    const stops = RAMP.map(parts);
    return Array.from({ length: LEVELS + 1 }, (_, level) => {
      const at = (level / LEVELS) * (stops.length - 1);
      const below = Math.min(Math.floor(at), stops.length - 2);
      return css(mixed(stops[below], stops[below + 1], at - below));
    });
  })();

  // On dark paper dark colours are made lighter, so that they show.
  const shown = (hex, dark) => {
    const rgb = parts(hex);
    const lift = dark ? Math.max(0, 0.42 - brightness(rgb)) : 0;
    return css(mixed(rgb, [255, 255, 255], lift * 1.3));
  };

  // --- data ---------------------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const words = (text) => {
    const raw = bytes(text);
    const view = new DataView(raw.buffer);
    return Uint16Array.from({ length: raw.length / 2 }, (_, n) => view.getUint16(2 * n, true));
  };
  const rounded = (value) => {
    if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)) return value.toExponential(1);
    return String(Number(value.toPrecision(3)));
  };

  const data = JSON.parse(byId("data").textContent);

  // Points in the order in which they are drawn: numbers from the smallest, missing ones first.
  const ascending = (codes) => {
    const starts = new Uint32Array(258);
    const rank = (code) => (code === MISSING ? 0 : code + 1);
    for (const code of codes) starts[rank(code) + 1] += 1;
    for (let n = 1; n < starts.length; n += 1) starts[n] += starts[n - 1];
    const order = new Uint32Array(codes.length);
    codes.forEach((code, n) => { order[starts[rank(code)]++] = n; });
    return order;
  };

  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

  const spread = (values) => {
    const middle = median(Array.from(values));
    return median(Array.from(values, (value) => Math.abs(value - middle)));
  };

  // The height nearest to y at which a name of this width touches none that is written.
  const free = (taken, x, y, half, line) => {
    const crosses = (at) => taken.some((one) => Math.abs(one.x - x) < one.half + half && Math.abs(one.y - at) < line);
    const shift = [0, 1, -1, 2, -2, 3, -3].find((n) => !crosses(y + n * line)) ?? 0;
    taken.push({ x, y: y + shift * line, half });
    return y + shift * line;
  };

  // --- one picture of the cells -------------------------------------------------------------------

  class View {
    constructor(number, points) {
      this.points = points;
      this.canvas = byId(`cells-${number}`);
      this.select = byId(`pick-${number}`);
      this.legend = byId(`legend-${number}`);
      this.alone = -1;
      this.select.addEventListener("change", () => this.pick());
      new ResizeObserver(() => this.draw()).observe(this.canvas);
      this.pick();
    }

    pick() {
      this.column = data.columns[Number(this.select.value)];
      this.column.codes ??= bytes(this.column.values);
      this.alone = -1;
      this.canvas.setAttribute("aria-label", `cells coloured by ${this.column.name}`);
      this.showLegend();
      this.draw();
    }

    palette(dark) {
      const colors = this.column.kind === "categories" ? this.column.colors.map((c) => shown(c, dark)) : ramp.slice();
      colors[MISSING] = variable("--grey");
      return colors;
    }

    draw() {
      const side = this.canvas.clientWidth;
      if (!side) return;
      const pixels = Math.round(side * Math.min(window.devicePixelRatio || 1, 2));
      this.canvas.width = this.canvas.height = pixels;
      const context = this.canvas.getContext("2d");
      const margin = 0.03 * pixels;
      const scale = (pixels - 2 * margin) / 65535;
      const n = this.points.x.length;
      const radius = Math.min(0.006, Math.max(0.0012, 0.16 / Math.sqrt(n))) * pixels;
      const { codes, kind } = this.column;
      const dark = brightness(parts(variable("--paper"))) < 0.5;
      const colors = this.palette(dark);
      const order = kind === "numbers" ? ascending(codes) : null;
      const dot = (at) => {
        const x = margin + this.points.x[at] * scale;
        const y = pixels - margin - this.points.y[at] * scale;
        if (n > 20000) {
          context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
        } else {
          context.beginPath();
          context.arc(x, y, radius, 0, 7);
          context.fill();
        }
      };
      const round = (wanted, color) => {
        let last = null;
        for (let step = 0; step < n; step += 1) {
          const at = order ? order[step] : step;
          if (!wanted(codes[at])) continue;
          const fill = color ?? colors[codes[at]];
          if (fill !== last) context.fillStyle = last = fill;
          dot(at);
        }
      };
      if (this.alone < 0) {
        if (kind === "categories") round((code) => code === MISSING, colors[MISSING]);
        round((code) => kind === "numbers" || code !== MISSING, null);
      } else {
        round((code) => code !== this.alone, colors[MISSING]);
        round((code) => code === this.alone, null);
      }
      if (kind === "categories") this.write(context, margin, scale, pixels);
    }

    // Names of categories at the median of their points.
    write(context, margin, scale, pixels) {
      const { codes, labels } = this.column;
      if (labels.length > MOST_LABELS) return;
      const xs = labels.map(() => []);
      const ys = labels.map(() => []);
      codes.forEach((code, at) => {
        if (code === MISSING) return;
        xs[code].push(this.points.x[at]);
        ys[code].push(this.points.y[at]);
      });
      context.font = `600 ${Math.round(pixels / 38)}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.lineJoin = "round";
      context.lineWidth = pixels / 130;
      context.strokeStyle = variable("--paper");
      context.fillStyle = variable("--ink");
      const taken = [];
      const whole = spread(this.points.x) + spread(this.points.y);
      labels.forEach((label, code) => {
        if (!xs[code].length || (this.alone >= 0 && this.alone !== code)) return;
        // What lies all over the picture has no place to be named at.
        if (labels.length > 1 && spread(xs[code]) + spread(ys[code]) > MOST_SPREAD * whole) return;
        const text = label.length > 18 ? `${label.slice(0, 17)}…` : label;
        const half = context.measureText(text).width / 2 + 2;
        const x = Math.min(pixels - half, Math.max(half, margin + median(xs[code]) * scale));
        const y = free(taken, x, pixels - margin - median(ys[code]) * scale, half, pixels / 36);
        context.strokeText(text, x, y);
        context.fillText(text, x, y);
      });
    }

    showLegend() {
      const { column } = this;
      const dark = brightness(parts(variable("--paper"))) < 0.5;
      this.legend.replaceChildren();
      if (column.kind === "numbers") {
        const box = make("div", "ramp");
        const strip = make("canvas");
        strip.width = LEVELS + 1;
        strip.height = 1;
        strip.setAttribute("aria-hidden", "true");
        const context = strip.getContext("2d");
        ramp.forEach((color, level) => { context.fillStyle = color; context.fillRect(level, 0, 1, 1); });
        const most = `${column.clipped ? "≥ " : ""}${rounded(column.high)}`;
        box.append(make("span", "", rounded(column.low)), strip, make("span", "", most));
        this.legend.append(box);
        return;
      }
      column.labels.forEach((label, code) => {
        const button = make("button");
        button.type = "button";
        button.setAttribute("aria-pressed", "false");
        const swatch = make("i", "swatch");
        swatch.style.background = shown(column.colors[code], dark);
        button.append(swatch, make("span", "", label), make("span", "count", column.counts[code].toLocaleString("en")));
        button.addEventListener("click", () => this.single(code));
        this.legend.append(button);
      });
    }

    single(code) {
      this.alone = this.alone === code ? -1 : code;
      [...this.legend.children].forEach((button, n) => button.setAttribute("aria-pressed", String(n === this.alone)));
      this.draw();
    }

    restyle() {
      const { alone } = this;
      this.showLegend();
      this.alone = -1;
      if (alone >= 0) this.single(alone);
      else this.draw();
    }
  }

  if (data.n) {
    const points = { x: words(data.x), y: words(data.y) };
    const views = [0, 1].map((number) => new View(number, points));
    for (const query of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(query).addEventListener("change", () => views.forEach((view) => view.restyle()));
    }
  }

  // --- tables -------------------------------------------------------------------------------------

  const inOrder = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  const sortBy = (table, head) => {
    const column = [...head.parentNode.children].indexOf(head);
    const falling = head.getAttribute("aria-sort") === "ascending";
    const number = head.dataset.kind === "number";
    const value = (row) => {
      const cell = row.children[column];
      if (!number) return cell.textContent;
      return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
    };
    const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
    const sign = falling ? -1 : 1;
    rows.sort(([a], [b]) => {
      if (!number) return sign * inOrder.compare(a, b);
      // What has no number stands last, whichever way.
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return sign * (a - b);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
    for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  };

  const filterRows = (table, text, group, count) => {
    const wanted = text.value.trim().toLowerCase();
    let n = 0;
    for (const row of table.tBodies[0].rows) {
      const named = row.children[2].textContent.toLowerCase().includes(wanted);
      row.hidden = !named || (group.value !== "" && row.children[0].textContent !== group.value);
      n += !row.hidden;
    }
    count.textContent = `${n.toLocaleString("en")} rows`;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const button of table.querySelectorAll("thead button")) {
      button.addEventListener("click", () => sortBy(table, button.parentNode));
    }
    const [text, group, count] = ["filter", "group", "count"].map((kind) =>
      [...document.querySelectorAll(`[data-${kind}]`)].find((node) => node.dataset[kind] === table.id));
    for (const control of [text, group]) {
      control.addEventListener("input", () => filterRows(table, text, group, count));
    }
  }
})();
