// The two ceremonies of WebAuthn. The page carries the options; the answer goes
// back with the form, so this reads and sends nothing by itself.
"use strict";
(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const create = form.dataset.ceremony === "create";
  const answer = form.elements.credential;
  const line = form.querySelector(".say");
  const say = (text, failed) => {
    line.textContent = text;
    line.hidden = false;
    line.classList.toggle("problem", failed);
  };
  const words = {
    InvalidStateError: "This device has a passkey for this account already.",
    NotAllowedError: "No passkey was " + (create ? "made" : "used") + ". Try again when you are ready.",
    SecurityError: "Passkeys do not work at this address.",
  };

  const ask = async () => {
    const options = JSON.parse(form.dataset.passkey);
    const json = options.publicKey || options;
    if (create) {
      return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(json) });
    }
    return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(json) });
  };

  let busy = false;
  const run = async () => {
    if (busy) return;
    if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) {
      say("This browser is too old for passkeys, or this address is not secure.", true);
      return;
    }
    if (!form.reportValidity()) return;
    busy = true;
    say("Waiting for your passkey …", false);
    try {
      const credential = await ask();
      answer.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch (error) {
      say(words[error.name] || "That did not work. Try again.", true);
    } finally {
      busy = false;
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  if (!create && !document.querySelector(".wrong[role=alert]")) run();
})();
