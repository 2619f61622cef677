// Looks for news every two seconds, as long as somebody looks at the page and "Live" is ticked.
const live = document.getElementById("live"), follow = document.getElementById("follow");
let shown = "";
async function look() {
  if (follow.checked && !document.hidden) {
    try {
      const answer = await fetch("/changes" + location.search, { cache: "no-store" });
      const text = answer.ok ? await answer.text() : shown;
      if (text !== shown) {
        const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
        live.innerHTML = text;
        if (focused) document.getElementById(focused)?.focus();
        document.getElementById("now").textContent = live.querySelector("[data-now]").dataset.now;
        shown = text;
      }
      live.classList.remove("lost");
    } catch { live.classList.add("lost"); }
  }
  setTimeout(look, 2000);
}
setTimeout(look, 2000);
