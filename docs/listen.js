// The players of the first page: one plays at a time, and the next goes on where the last one was.

const figures = [...document.querySelectorAll(".listen figure")];
const players = figures.map((figure) => figure.querySelector("audio"));
let last = players[0];

/** Hold a sound in memory: servers that send only whole files, such as that of `mkdocs serve`, allow no jumps. */
async function hold(player) {
  try {
    const answer = await fetch(player.src);
    if (answer.ok) player.src = URL.createObjectURL(await answer.blob());
  } catch {
    // Opened as a file: the browser reads the sound by itself.
  }
}

function follow() {
  const share = last.duration ? last.currentTime / last.duration : 0;
  for (const figure of figures) {
    const line = figure.querySelector("i");
    line.style.left = `${100 * share}%`;
    line.hidden = share === 0;
  }
  if (!last.paused) requestAnimationFrame(follow);
}

function use(player) {
  if (last === player) return;
  const { currentTime, ended } = last;
  last.pause();
  last = player;
  if (!ended) player.currentTime = currentTime;
}

figures.forEach((figure, index) => {
  const player = players[index];
  hold(player);
  player.addEventListener("play", () => {
    use(player);
    follow();
  });
  player.addEventListener("seeked", follow);
  figure.querySelector(".picture").addEventListener("click", (event) => {
    use(player);
    player.currentTime = (event.offsetX / event.currentTarget.clientWidth) * (player.duration || 0);
    player.play();
  });
});
if (figures.length) follow();
