/** Numbers of 16 bits (IEEE 754 binary16), which few JavaScript engines know. */

const FRACTION = 1024;
const SMALLEST = 2 ** -24;
const BIAS = 15;

export function halvesToFloats(halves: Uint16Array): Float32Array {
  return Float32Array.from(halves, toFloat);
}

export function floatsToHalves(floats: Float32Array): Uint16Array {
  return Uint16Array.from(floats, toHalf);
}

function toFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & (FRACTION - 1);
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * SMALLEST;
  return sign * 2 ** (exponent - BIAS) * (1 + fraction / FRACTION);
}

function toHalf(number: number): number {
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0;
  const size = Math.abs(number);
  if (Number.isNaN(size)) return 0x7e00;
  if (size === Infinity) return sign | 0x7c00;
  // The scale of the last bit, and how many of it: what rounds up to the next exponent carries.
  const exponent = Math.max(Math.floor(Math.log2(size || SMALLEST)), 1 - BIAS);
  const count = roundToEven(size / 2 ** (exponent - 10));
  const bits = count + (exponent - 1 + BIAS) * FRACTION;
  return sign | Math.min(bits, 0x7c00);
}

function roundToEven(number: number): number {
  const below = Math.floor(number);
  const rest = number - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
