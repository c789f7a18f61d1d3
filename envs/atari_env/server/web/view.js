// The screen of the console, as wide as a television has it, with the lives that are left.
// The page takes its keys from the names of the actions: arrows and space.

/** A pixel of the console is wider than high: 160 of them fill a screen of 4 to 3. */
const ASPECT = 4 / 3;

export default function view(element, { observation, previous }) {
  const parts = element.lastChild ? element.parts : build(element);
  const pictures = picturesOf(observation.screen);
  const newest = pictures.at(-1);
  parts.screen.hidden = !newest;
  parts.memory.hidden = Boolean(newest);
  if (newest) paint(parts.screen, newest);
  else parts.memory.textContent = dump(observation.screen);
  drawEarlier(parts.earlier, pictures.slice(0, -1));
  const lives = observation.lives ?? 0;
  parts.lives.textContent = lives ? `Lives: ${"♥".repeat(Math.min(lives, 12))} ${lives}` : "";
  parts.lives.style.color = observation.life_lost && previous ? "var(--bad-text)" : "";
}

function build(element) {
  const parts = {
    screen: document.createElement("canvas"),
    memory: document.createElement("pre"),
    earlier: document.createElement("div"),
    lives: document.createElement("p"),
  };
  Object.assign(parts.screen.style, {
    width: `min(100%, ${60 * ASPECT}vh)`,
    aspectRatio: String(ASPECT),
    imageRendering: "pixelated",
    borderRadius: "6px",
    background: "#000",
  });
  Object.assign(parts.earlier.style, { display: "flex", justifyContent: "center", gap: "0.5rem" });
  parts.screen.setAttribute("role", "img");
  parts.screen.setAttribute("aria-label", "The game's screen");
  parts.memory.setAttribute("tabindex", "0");
  parts.memory.setAttribute("role", "group");
  parts.memory.setAttribute("aria-label", "The console's memory");
  element.replaceChildren(...Object.values(parts));
  element.parts = parts;
  return parts;
}

/** The pictures of a stack, the newest last; none if the memory is observed. */
function picturesOf({ data, shape }) {
  const hasColours = shape.at(-1) === 3 && shape.length > 2;
  const sides = hasColours ? shape.slice(-3, -1) : shape.slice(-2);
  const isMemory = shape.length < 2 || (shape.length === 2 && shape[1] === 128 && shape[0] < 32);
  if (isMemory) return [];
  const [height, width] = sides;
  const channels = hasColours ? 3 : 1;
  const size = height * width * channels;
  return Array.from({ length: data.length / size }, (_, index) => {
    const bytes = data.subarray(index * size, (index + 1) * size);
    return { width, height, channels, bytes };
  });
}

function paint(canvas, { width, height, channels, bytes }) {
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[pixel * 4 + channel] = bytes[pixel * channels + (channels === 3 ? channel : 0)];
    }
    image.data[pixel * 4 + 3] = 255;
  }
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** What a stack holds besides the newest, small. */
function drawEarlier(element, pictures) {
  while (element.children.length > pictures.length) element.lastChild.remove();
  while (element.children.length < pictures.length) {
    const canvas = document.createElement("canvas");
    Object.assign(canvas.style, { width: "6rem", aspectRatio: String(ASPECT), marginTop: "0.5rem" });
    canvas.setAttribute("aria-hidden", "true");
    element.append(canvas);
  }
  pictures.forEach((picture, index) => paint(element.children[index], picture));
}

/** 128 bytes as they stand in the newest memory of a stack, in hexadecimal. */
function dump({ data }) {
  const bytes = Array.from(data.subarray(-128), (byte) => byte.toString(16).padStart(2, "0"));
  const lines = Array.from({ length: 8 }, (_, row) => bytes.slice(row * 16, row * 16 + 16).join(" "));
  return lines.join("\n");
}
