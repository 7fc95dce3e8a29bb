"use strict";
// Paints maps of the cortex through pictures that say which vertex is seen at each pixel; tells a unit's numbers on hovering.
(function () {
  const NO_VERTEX = 65535, NO_UNIT = 65535, NOTHING = 255, UNKNOWN = -32768, SCORE_STEPS = 1000, Q_STEPS = 10000;
  const promised = {};
  const painted = new WeakMap();

  // Deflated; of numbers of two bytes, the lower ones stand first.
  function bytes(text) {
    const packed = Uint8Array.from(atob(text), function (one) { return one.charCodeAt(0); });
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(unpacked).arrayBuffer().then(function (found) { return new Uint8Array(found); });
  }

  function counts(text) {
    return bytes(text).then(function (found) {
      const n = found.length / 2;
      return Uint16Array.from({ length: n }, function (_, i) { return found[i] + 256 * found[n + i]; });
    });
  }

  function fixed(text) { return counts(text).then(function (found) { return new Int16Array(found.buffer); }); }

  function each(found, names, unpack) {
    return Promise.all(names.map(function (name) {
      return unpack(found[name]).then(function (values) { found[name] = values; });
    })).then(function () { return found; });
  }

  // What several panels share is read and unpacked once.
  function shared(id, unpack) {
    if (!(id in promised)) { promised[id] = unpack(JSON.parse(document.getElementById(id).textContent)); }
    return promised[id];
  }

  function unpackPictures(found) {
    return Promise.all(found.views.map(function (view) {
      return Promise.all([each(view, ["vertex"], counts), each(view, ["length", "light"], bytes)]).then(function () {
        view.seen = new Uint16Array(found.width * found.height);
        let at = 0;
        view.vertex.forEach(function (one, i) { view.seen.fill(one, at, at += view.length[i]); });
      });
    })).then(function () { return found; });
  }

  function unpackPainting(found) { return each(found, ["unit", "region"], counts); }

  function unpackValues(found) {
    return Promise.all([
      each(found, ["score", "ci_low", "ci_high", "q"], fixed), each(found, ["layer", "class"], bytes)
    ]).then(function () {
      const score = found.score;
      const inSteps = function (steps) { return function (one) { return one === UNKNOWN ? NaN : one / steps; }; };
      ["ci_low", "ci_high"].forEach(function (name) {  // they are told by how far they lie from the score
        found[name] = Array.from(found[name], function (one, i) { return one === UNKNOWN ? NaN : (score[i] + one) / SCORE_STEPS; });
      });
      found.score = Array.from(score, inSteps(SCORE_STEPS));
      found.q = Array.from(found.q, inSteps(Q_STEPS));
      return found;
    });
  }

  function rgb(colour) { return [1, 3, 5].map(function (i) { return parseInt(colour.slice(i, i + 2), 16); }); }

  // Unit by unit, as the colour bar has it.
  function coloursOf(map, values) {
    const colours = map.colours.map(rgb), nothing = rgb(map.nothing), last = colours.length - 1;
    if (map.field !== "score") {
      return Array.from(values[map.field], function (one) { return one === NOTHING ? nothing : colours[one]; });
    }
    return values.score.map(function (score) {
      return isNaN(score) ? nothing : colours[Math.round(last * Math.min(1, Math.max(0, score / map.high)))];
    });
  }

  function other(neighbour, unit) { return neighbour >= 0 && neighbour !== unit; }

  function paint(canvas, view, size, painting, colours, outside) {
    const width = canvas.width = size.width, height = canvas.height = size.height;
    const context = canvas.getContext("2d"), picture = context.createImageData(width, height), pixels = picture.data;
    const unitAt = function (i) { return view.seen[i] === NO_VERTEX ? -1 : painting.unit[view.seen[i]]; };
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const unit = unitAt(i);
        if (unit < 0) { continue; }
        const light = view.light[(y >> 1) * (width >> 1) + (x >> 1)] / 255;
        const inside = unit !== NO_UNIT, colour = inside ? colours[unit] : outside;
        let shade = inside ? 0.5 + 0.5 * light : 0.3 + 0.7 * light;
        if (painting.outlined && [i - 1, i + 1, i - width, i + width].some(function (j) { return other(unitAt(j), unit); })) {
          shade *= 0.55;
        }
        for (let part = 0; part < 3; part++) { pixels[4 * i + part] = colour[part] * shade; }
        pixels[4 * i + 3] = 255;
      }
    }
    context.putImageData(picture, 0, 0);
  }

  function told(value) { return (value < 0 ? "−" : "") + Math.abs(value).toFixed(3); }

  function textOf(shown, vertex, pictures) {
    const painting = shown.painting, values = shown.values, unit = painting.unit[vertex];
    if (unit === NO_UNIT) { return ""; }
    const hemisphere = vertex < pictures.first.right ? "left" : "right";
    const own = "vertex " + (vertex - pictures.first[hemisphere]);
    const region = painting.regions[painting.region[unit]];
    const layer = values.layer[unit], q = values.q[unit];
    return [
      (painting.names.length ? painting.names[unit] + ", " + own : own),
      (region ? region + ", " : "") + hemisphere + " hemisphere",
      isNaN(values.score[unit]) ? "no score" : values.symbol + " = " + told(values.score[unit]) +
        " [" + told(values.ci_low[unit]) + ", " + told(values.ci_high[unit]) + "]",
      layer === NOTHING ? "not significant after correction: no best layer"
        : "best layer " + values.layers[layer] + " (depth " + values.depths[layer].toFixed(2) + ")",
      isNaN(q) ? "q not known" : (q < 1 / Q_STEPS ? "q < 0.0001" : "q = " + q.toFixed(4)) +
        (values["class"][unit] < 3 ? "" : ", not significant")
    ].join("\n");
  }

  function show(source) {
    const map = JSON.parse(source.textContent);
    return Promise.all([
      shared(map.pictures, unpackPictures), shared(map.painting, unpackPainting), shared(map.values, unpackValues)
    ]).then(function (found) {
      const pictures = found[0], painting = found[1], values = found[2];
      const colours = coloursOf(map, values), outside = rgb(map.outside);
      document.getElementById(source.dataset.cortex).querySelectorAll("canvas").forEach(function (canvas) {
        const view = pictures.views[canvas.dataset.view];
        paint(canvas, view, pictures, painting, colours, outside);
        painted.set(canvas, { view: view, painting: painting, values: values, pictures: pictures });
      });
    });
  }

  const tip = document.createElement("div");
  tip.className = "cortex-tip";
  tip.hidden = true;
  document.body.appendChild(tip);

  function hover(event) {
    const shown = event.target instanceof Element && painted.get(event.target);
    let text = "";
    if (shown) {
      const box = event.target.getBoundingClientRect(), width = shown.pictures.width, height = shown.pictures.height;
      const x = Math.floor((event.clientX - box.left) / box.width * width);
      const y = Math.floor((event.clientY - box.top) / box.height * height);
      const vertex = x >= 0 && y >= 0 && x < width && y < height ? shown.view.seen[y * width + x] : NO_VERTEX;
      text = vertex === NO_VERTEX ? "" : textOf(shown, vertex, shown.pictures);
    }
    tip.hidden = !text;
    if (!text) { return; }
    tip.textContent = text;
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = Math.max(4, Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)) + "px";
  }

  window.cortexPainted = Promise.all(Array.from(document.querySelectorAll("script[data-cortex]"), show));
  document.addEventListener("pointermove", hover);
  document.addEventListener("pointerdown", hover);
})();
