"use strict";
(() => {
  const figure = document.getElementById("relief");
  const place = document.getElementById("relief-drawn");
  const picture = document.getElementById("relief-picture");
  const said = document.getElementById("relief-said");
  const buttons = [...document.querySelectorAll("[data-shown]")];
  const given = JSON.parse(document.getElementById("relief-data").textContent);
  const narrow = matchMedia("(max-width: 40rem)"), dark = matchMedia("(prefers-color-scheme: dark)");
  const config = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ["resetCameraLastSave3d", "tableRotation"]};
  let shown = "all", camera = given.camera, turning = false;

  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  const surface = (one, number) => ({
    type: "surface", name: one.name, scene: `scene${number || ""}`, x: one.x, y: one.y, z: one.z, text: one.loss,
    hovertemplate: "loss %{text}<br>x %{x:.3f}, y %{y:.3f}<extra></extra>", connectgaps: false,
    cmin: given.low, cmax: given.high, colorscale: given.colours, showscale: false,
    contours: {z: {show: true, start: given.low, end: given.high, size: (given.high - given.low) / 18 || 1,
      color: "#173540", width: 1, highlight: false}},
    lighting: {ambient: .72, diffuse: .55, specular: .08, roughness: .9}, lightposition: {x: -2000, y: -3000, z: 6000},
  });

  const axis = (title, more) => ({
    title: {text: title, font: {size: 11}}, color: colour("soft"), gridcolor: colour("line"), zeroline: false,
    showbackground: false, showspikes: false, tickfont: {size: 10}, ...more,
  });

  const scene = domain => ({
    domain, camera, aspectmode: "manual", aspectratio: {x: 1, y: 1, z: .72},
    xaxis: axis("x", {nticks: 5}), yaxis: axis("y", {nticks: 5}),
    zaxis: axis("loss", {range: [given.low, given.high], tickvals: given.ticks, ticktext: given.labels}),
  });

  const domains = count => [...Array(count).keys()].map(number => narrow.matches
    ? {x: [0, 1], y: [1 - (number + 1) / count, 1 - number / count - .02]}
    : {x: [number / count, (number + 1) / count], y: [0, 1]});

  const layout = surfaces => {
    const made = {
      margin: {l: 0, r: 0, t: 26, b: 0}, paper_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: {family: "system-ui, sans-serif", color: colour("text")},
      hoverlabel: {bgcolor: colour("page"), bordercolor: colour("line"), font: {color: colour("text")}},
      height: narrow.matches ? 340 * surfaces.length : 430,
      annotations: [],
    };
    domains(surfaces.length).forEach((domain, number) => {
      made[`scene${number ? number + 1 : ""}`] = scene(domain);
      made.annotations.push({text: surfaces[number].name.replaceAll("<", "&lt;"), showarrow: false, xref: "paper", yref: "paper",
        x: (domain.x[0] + domain.x[1]) / 2, y: domain.y[1], xanchor: "center", yanchor: "bottom", font: {size: 12, color: colour("text")}});
    });
    return made;
  };

  const draw = () => {
    const surfaces = shown === "all" ? given.surfaces : [given.surfaces[Number(shown)]];
    const traces = surfaces.map((one, number) => surface(one, number ? number + 1 : 0));
    return Plotly.react(place, traces, layout(surfaces), config).then(() => { figure.dataset.scenes = surfaces.length; });
  };

  const together = change => {
    const moved = Object.entries(change).find(([key]) => /^scene\d*\.camera$/.test(key));
    if (!moved || turning) return;
    camera = moved[1];
    turning = true;
    const others = Object.keys(place.layout).filter(key => /^scene\d*$/.test(key) && `${key}.camera` !== moved[0]);
    const update = Object.fromEntries(others.map(key => [`${key}.camera`, camera]));
    (others.length ? Plotly.relayout(place, update) : Promise.resolve()).finally(() => { turning = false; });
  };

  const unpacked = async () => {
    const packed = Uint8Array.from(atob(document.getElementById("relief-library").textContent), one => one.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };

  const can = () => typeof DecompressionStream === "function" && ["webgl2", "webgl"].some(kind => {
    const context = document.createElement("canvas").getContext(kind);
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context);
  });

  const begin = async () => {
    if (!can()) { said.textContent = "This browser draws no WebGL: the picture stands for the surface."; return; }
    said.textContent = "Drawing …";
    const script = document.createElement("script");
    script.textContent = await unpacked();
    document.head.append(script);
    place.hidden = false;
    await draw();
    picture.hidden = true;
    said.textContent = "Drag to turn, scroll to come nearer; the loss of a cell stands under the pointer.";
    place.on("plotly_relayouting", together);
    place.on("plotly_relayout", together);
    for (const change of [narrow, dark]) change.addEventListener("change", draw);
    buttons.forEach(button => { button.disabled = false; });
    figure.dataset.drawn = "yes";
  };

  buttons.forEach(button => button.addEventListener("click", () => {
    shown = button.dataset.shown;
    buttons.forEach(one => one.setAttribute("aria-pressed", String(one === button)));
    draw();
  }));

  const seen = new IntersectionObserver(entries => {
    if (!entries.some(entry => entry.isIntersecting)) return;
    seen.disconnect();
    begin().catch(error => { place.hidden = true; picture.hidden = false; said.textContent = `The surface was not drawn: ${error.message}`; });
  }, {rootMargin: "150px"});
  seen.observe(figure);
})();
