// What pages do beside links and forms: ask before what cannot be taken back, and tell what went wrong on the way.
"use strict";

(() => {
  const told = (message) => {
    const paragraph = document.createElement("p");
    paragraph.className = "notice fault";
    paragraph.textContent = message;
    document.getElementById("notice")?.replaceChildren(paragraph);
  };

  const asked = (question) =>
    new Promise((resolve) => {
      const dialog = document.createElement("dialog");
      const heading = document.createElement("p");
      heading.id = "dialog-question";
      heading.textContent = question;
      dialog.setAttribute("aria-labelledby", heading.id);
      const row = document.createElement("div");
      row.className = "row";
      for (const [label, value, look] of [["Cancel", "", "quiet"], ["Yes, do it", "yes", "grave"]]) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = label;
        button.className = look;
        button.addEventListener("click", () => dialog.close(value));
        row.append(button);
      }
      dialog.append(heading, row);
      dialog.addEventListener("close", () => {
        dialog.remove();
        resolve(dialog.returnValue === "yes");
      });
      document.body.append(dialog);
      dialog.showModal();
    });

  // On a phone the bar of pages scrolls: it begins where this page is.
  const here = document.querySelector("nav [aria-current]");
  const bar = here?.closest("nav");
  if (bar) bar.scrollLeft = here.offsetLeft - (bar.clientWidth - here.offsetWidth) / 2;

  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      const question = form.dataset.confirm;
      if (!question || form.dataset.confirmed) return;
      event.preventDefault();
      event.stopPropagation();
      const by = event.submitter;
      asked(question).then((yes) => {
        if (!yes) return;
        form.dataset.confirmed = "yes";
        form.requestSubmit(by);
      });
    },
    true,
  );

  // A part that cannot be had is told by the page itself: it says why.
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.elt.dataset.polls === undefined) window.location.assign(event.detail.pathInfo.finalRequestPath);
    else told(`The server answered ${event.detail.xhr.status}; this page goes on trying.`);
  });
  document.addEventListener("htmx:sendError", () => told("The server cannot be reached; what is shown may be old."));
})();
