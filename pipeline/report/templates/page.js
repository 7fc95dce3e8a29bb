"use strict";
// Draws each panel from the JSON beside it, a few at a time so that the page can be read meanwhile.
(function () {
  const waiting = Array.from(document.querySelectorAll('script[type="application/json"][data-for]'));
  const config = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false, doubleClick: false };

  // With a viewBox the drawings can be scaled to paper by the style sheet.
  function makeScalable(plot) {
    plot.style.setProperty("--drawn", plot.clientWidth + "px");
    plot.querySelectorAll(".main-svg").forEach(function (svg) {
      svg.setAttribute("viewBox", "0 0 " + svg.getAttribute("width") + " " + svg.getAttribute("height"));
    });
  }

  function draw(source) {
    const plot = document.getElementById(source.dataset.for);
    const figure = JSON.parse(source.textContent);
    return Plotly.newPlot(plot, figure.data, figure.layout, config).then(function () {
      makeScalable(plot);
      plot.on("plotly_afterplot", function () { makeScalable(plot); });
    });
  }

  function drawAll() {
    return Promise.all(waiting.splice(0).map(draw)).then(finish);
  }

  function drawSome() {
    const until = performance.now() + 40;
    const drawn = [];
    do { drawn.push(draw(waiting.shift())); } while (waiting.length && performance.now() < until);
    Promise.all(drawn).then(function () { if (waiting.length) { setTimeout(drawSome, 0); } else { finish(); } });
  }

  function finish() {
    return Promise.resolve(window.cortexPainted).then(function () { document.documentElement.dataset.drawn = "all"; });
  }

  window.addEventListener("beforeprint", drawAll);
  if (waiting.length) { drawSome(); } else { finish(); }
})();
