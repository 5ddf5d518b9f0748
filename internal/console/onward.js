// Goes on by itself where a page only leads on to an application. Without JavaScript
// its button, or its link, does.
"use strict";
(() => {
  const form = document.querySelector("form[data-onward]");
  // submit() of the prototype: a field of the form may be called "submit".
  if (form) HTMLFormElement.prototype.submit.call(form);
})();
