// The keys of the page, which stay what they are in its controls.

/** Call `space` at the space bar, which returns whether it did something, and `b` at the letter B. */
export function onKeys(space, b) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === " " && !event.target.closest("button, a, select, input, label")) {
      if (space()) event.preventDefault();
    } else if (event.key.toLowerCase() === "b" && event.target.tagName !== "SELECT") {
      b();
    }
  });
}
