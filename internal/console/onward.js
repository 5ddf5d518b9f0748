// Goes on by itself where a page only leads on to an application. Without JavaScript
// its button, or its link, does.
"use strict";
(() => {
  const form = document.querySelector("form[data-onward]");
  // submit() of the prototype: a field of the form may be called "submit".
  if (form) HTMLFormElement.prototype.submit.call(form);

  // Applications sign out in frames: on, when all have answered or one takes too long.
  const link = document.querySelector("a[data-onward]");
  if (!link) return;
  const onward = () => location.replace(link.href);
  if (document.readyState === "complete") onward();
  else addEventListener("load", onward); // after the frames
  setTimeout(onward, 5000);
})();
