// The players of the first page: one plays at a time, and the next goes on where the last one was.

const figures = [...document.querySelectorAll(".listen figure")];
const players = figures.map((figure) => figure.querySelector("audio"));
let last = players[0];

function follow() {
  const share = last.duration ? last.currentTime / last.duration : 0;
  for (const figure of figures) {
    const line = figure.querySelector("i");
    line.style.left = `${100 * share}%`;
    line.hidden = share === 0;
  }
  if (!last.paused) requestAnimationFrame(follow);
}

figures.forEach((figure, index) => {
  const player = players[index];
  player.addEventListener("play", () => {
    if (last !== player) {
      if (!last.ended) player.currentTime = last.currentTime;
      last.pause();
      last = player;
    }
    follow();
  });
  player.addEventListener("seeked", () => player === last && follow());
  figure.querySelector(".picture").addEventListener("click", (event) => {
    if (last !== player) last.pause();
    last = player;
    player.currentTime = (event.offsetX / event.currentTarget.clientWidth) * (player.duration || 0);
    player.play();
  });
});
if (figures.length) follow();
