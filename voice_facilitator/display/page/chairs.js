// Whose turn it is, as a circle of chairs: a filled chair may speak. The presenter's chair is the square
// one at the top, and where only the group speaks it has moved back.

const SVG = "http://www.w3.org/2000/svg";
const CHAIRS = 8;
const RADIUS = 40;
const SIZE = 9;
const BACK = 11;

export function chairs(svg, floor) {
  if (svg.children.length === 0) make(svg);
  svg.dataset.floor = floor;
}

function make(svg) {
  for (let i = 0; i < CHAIRS; i += 1) {
    const turn = (i / CHAIRS) * 2 * Math.PI - Math.PI / 2;
    const [x, y] = [RADIUS * Math.cos(turn), RADIUS * Math.sin(turn)];
    const chair = document.createElementNS(SVG, i === 0 ? "rect" : "circle");
    if (i === 0) {
      set(chair, { x: x - SIZE, y: y - SIZE, width: 2 * SIZE, height: 2 * SIZE, rx: 3, class: "presenter" });
      chair.style.setProperty("--back", `${-BACK}px`);
    } else {
      set(chair, { cx: x, cy: y, r: SIZE, class: "other" });
    }
    svg.append(chair);
  }
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}
