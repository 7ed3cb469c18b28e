// Updates the changing part of a page when the event log has a new event.
(() => {
  "use strict";
  // A wide window shows the folded forms; browsers before 2025 can't do that by CSS.
  if (!CSS.supports("selector(::details-content)") && matchMedia("(min-width: 821px)").matches) {
    for (const each of document.querySelectorAll(".folds")) each.open = true;
  }
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
  let every = 0; // after so many seconds a page is fetched without an event
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

  // A person types in a part, or selects text in it, to copy it.
  const isInUse = (part) => {
    const active = document.activeElement;
    const chosen = getSelection();
    return (
      (part.contains(active) && active.matches("input:not([type=checkbox]), select, textarea")) ||
      (!chosen.isCollapsed && chosen.containsNode(part, true))
    );
  };

  const FIELDS = "input:not([type=checkbox]):not([type=hidden]), select";
  const nameOf = (field) => {
    const around = field.closest("details");
    return [around ? around.id : "", field.form && field.form.id, field.name].join();
  };
  const isChanged = (field) =>
    field.matches("select")
      ? ![...field.selectedOptions].every((option) => option.defaultSelected)
      : field.value !== field.defaultValue;
  const isAtEnd = (each) => each.scrollTop + each.clientHeight >= each.scrollHeight - 24;

  const keep = (part) => ({
    focus: part.contains(document.activeElement) ? document.activeElement.id : "",
    checked: new Set([...part.querySelectorAll("input:checked")].map((box) => box.value)),
    open: new Set([...part.querySelectorAll("details[open]")].map((each) => each.id)),
    typed: new Map(
      [...part.querySelectorAll(FIELDS)].filter(isChanged).map((each) => [nameOf(each), each.value]),
    ),
    scrolled: [...part.querySelectorAll(".scroll")].map((each) => each.scrollLeft),
    logs: [...part.querySelectorAll(".log")].map((each) => [isAtEnd(each), each.scrollTop]),
  });

  const restore = (part, kept) => {
    for (const box of part.querySelectorAll("input[type=checkbox]")) {
      if (kept.checked.has(box.value)) box.checked = true;
    }
    for (const each of part.querySelectorAll("details")) {
      if (each.id && kept.open.has(each.id)) each.open = true;
    }
    for (const each of part.querySelectorAll(FIELDS)) {
      if (kept.typed.has(nameOf(each))) each.value = kept.typed.get(nameOf(each));
    }
    part.querySelectorAll(".log").forEach((each, at) => {
      const [atEnd, top] = kept.logs[at] || [true, 0]; // the end of a log is what is new
      each.scrollTop = atEnd ? each.scrollHeight : top;
    });
    part.querySelectorAll(".scroll").forEach((each, at) => {
      each.scrollLeft = kept.scrolled[at] || 0;
    });
    const focused = kept.focus && document.getElementById(kept.focus);
    if (focused) focused.focus({ preventScroll: true });
  };

  const note = (made) => {
    every = Number(made && made.dataset.every) || 0;
  };

  const shape = (root) =>
    [...root.querySelectorAll("[data-live], .bulk")].map((each) => each.dataset.live).join();

  const exchangePart = (part, fresh) => {
    if (isInUse(part)) {
      missed = true;
      return false;
    }
    const kept = keep(part);
    part.replaceChildren(...fresh.childNodes);
    restore(part, kept);
    return true;
  };

  // A live part stays in place while a person uses it; the others are exchanged. A page that has
  // other parts now, such as the log of a job that has begun, is exchanged as a whole.
  const exchange = (fetched) => {
    const made = fetched.querySelector("[data-made]");
    const content = document.getElementById("content");
    const isOther = shape(content) !== shape(fetched);
    const isWhole = isOther && exchangePart(content, fetched.body);
    for (const part of isWhole ? [] : content.querySelectorAll("[data-live]")) {
      const fresh = fetched.querySelector(`[data-live="${part.dataset.live}"]`);
      if (!fresh) continue;
      if (fresh.innerHTML !== part.innerHTML) exchangePart(part, fresh);
    }
    note(made);
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
      // Logged out, no longer allowed, or gone: the page that says so.
      if ([401, 403, 404].includes(answer.status)) return location.reload();
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
        setTimeout(() => source || paused || document.hidden || follow(), AGAIN);
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
  note(document.querySelector("[data-made]"));
  for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
  if (location.search.includes("notice=")) {
    const plain = new URL(location.href);
    for (const name of ["notice", "n", "refused"]) plain.searchParams.delete(name);
    history.replaceState(null, "", plain);
  }
  if (body.dataset.stream && button) {
    button.hidden = false;
    button.addEventListener("click", () => pause(!paused));
    // A browser has six connections to a server over HTTP/1.1: a page that is not seen takes none.
    document.addEventListener("visibilitychange", () => {
      if (paused) return;
      if (document.hidden) return stop();
      if (!source) follow();
      soon();
    });
    setInterval(() => {
      if (every && !paused && Date.now() - last > every * 1000) soon();
    }, 1000);
    for (const end of ["focusout", "selectionchange"]) {
      document.addEventListener(end, () => missed && !paused && soon());
    }
    if (remembered()) pause(true);
    else if (!document.hidden) follow();
  }
})();
