// Updates the changing part of a page when the event log has a new event.
(() => {
  "use strict";
  const CALM = 600; // wait for more events before a fetch, in milliseconds
  const LEAST = 2500; // minimum time between two fetches
  const AGAIN = 5000; // wait before a new request for a refused stream
  const KEY = "cicd-core:paused";
  const body = document.body;
  const button = document.getElementById("pause");
  const state = document.getElementById("live-state");
  const clock = document.getElementById("updated");
  let paused = false;
  let source = null;
  let timer = 0;
  let last = Date.now();
  let missed = false;
  let wasOpen = false;

  const remembered = () => {
    try {
      return sessionStorage.getItem(KEY) === "1";
    } catch {
      return false;
    }
  };

  const remember = () => {
    try {
      sessionStorage.setItem(KEY, paused ? "1" : "0");
    } catch {
      // without storage, only this page pauses
    }
  };

  const say = (text, tone) => {
    if (!state) return;
    if (state.textContent !== text) state.textContent = text;
    state.className = `live ${tone}`;
  };

  const isTyping = (part) => {
    const active = document.activeElement;
    return part.contains(active) && active.matches("input:not([type=checkbox]), select, textarea");
  };

  const keep = (part) => ({
    focus: part.contains(document.activeElement) ? document.activeElement.id : "",
    checked: new Set([...part.querySelectorAll("input:checked")].map((box) => box.value)),
    open: new Set([...part.querySelectorAll("details[open]")].map((each) => each.id)),
    scrolled: [...part.querySelectorAll(".scroll")].map((each) => each.scrollLeft),
  });

  const restore = (part, kept) => {
    for (const box of part.querySelectorAll("input[type=checkbox]")) {
      if (kept.checked.has(box.value)) box.checked = true;
    }
    for (const each of part.querySelectorAll("details")) {
      if (each.id && kept.open.has(each.id)) each.open = true;
    }
    part.querySelectorAll(".scroll").forEach((each, at) => {
      each.scrollLeft = kept.scrolled[at] || 0;
    });
    const focused = kept.focus && document.getElementById(kept.focus);
    if (focused) focused.focus({ preventScroll: true });
  };

  // A live part stays while a person types in it; the others are replaced.
  const exchange = (fetched) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = fetched.querySelector(`[data-live="${part.dataset.live}"]`);
      if (!fresh || fresh.innerHTML === part.innerHTML) continue;
      if (isTyping(part)) {
        missed = true;
        continue;
      }
      const kept = keep(part);
      part.replaceChildren(...fresh.childNodes);
      if (!fresh.dataset.every) delete part.dataset.every;
      restore(part, kept);
    }
    const made = fetched.querySelector("[data-made]");
    if (made && clock) {
      clock.dateTime = made.dataset.made;
      clock.textContent = made.dataset.clock;
    }
    const said = made && made.dataset.said;
    const summary = document.getElementById("summary");
    if (said && summary && summary.textContent !== said) summary.textContent = said;
    enhance();
  };

  const refresh = async () => {
    timer = 0;
    if (paused || document.hidden) {
      missed = true;
      return;
    }
    missed = false;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "x-page-fragment": "1" } });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) return say("Update failed", "late");
      exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
      say("Live", "on");
    } catch {
      say("Server not reached", "late");
    }
  };

  const soon = () => {
    if (timer) return;
    timer = setTimeout(refresh, Math.max(CALM, last + LEAST - Date.now()));
  };

  const follow = () => {
    source = new EventSource(body.dataset.stream);
    source.onopen = () => {
      say("Live", "on");
      if (wasOpen) soon(); // for events while it was closed
      wasOpen = true;
    };
    source.onmessage = soon;
    source.addEventListener("gap", soon);
    source.onerror = () => {
      say("Reconnecting", "late");
      if (source && source.readyState === EventSource.CLOSED) {
        stop();
        setTimeout(() => source || paused || follow(), AGAIN);
      }
    };
  };

  const stop = () => {
    if (source) source.close();
    source = null;
  };

  const pause = (wanted) => {
    paused = wanted;
    remember();
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Resume" : "Pause";
    if (paused) {
      stop();
      say("Paused", "late");
    } else {
      follow();
      refresh();
    }
  };

  const enhance = () => {
    for (const all of document.querySelectorAll("[data-all]")) {
      all.hidden = false;
      all.onchange = () => {
        for (const box of document.querySelectorAll(`input[name="${all.dataset.all}"]`)) {
          box.checked = all.checked;
        }
      };
    }
  };

  enhance();
  if (location.search.includes("notice=")) {
    const plain = new URL(location.href);
    for (const name of ["notice", "n", "refused"]) plain.searchParams.delete(name);
    history.replaceState(null, "", plain);
  }
  if (body.dataset.stream && button) {
    button.hidden = false;
    button.addEventListener("click", () => pause(!paused));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && missed && !paused) soon();
    });
    setInterval(() => {
      const part = document.querySelector("[data-every]"); // a log grows without an event
      if (part && !paused && Date.now() - last > part.dataset.every * 1000) soon();
    }, 1000);
    document.addEventListener("focusout", () => missed && !paused && soon());
    if (remembered()) pause(true);
    else follow();
  }
})();
