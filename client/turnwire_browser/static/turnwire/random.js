// Random ids that cannot be guessed.

/** 128 random bits. `crypto.randomUUID` is absent from pages that came over plain HTTP. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
