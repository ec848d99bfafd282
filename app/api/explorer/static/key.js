// The key, where the service asks for one: for this tab until it is closed, and told to the service alone.

const NAME = "digit-vae key";

let kept = recall();
let asking = null; // the answer of the person at the page, for all that wait for it

export const current = () => kept;
export const header = () => (kept ? { authorization: `Bearer ${kept}` } : {});

// After a refusal of `used`: whether there is another key by now, which may mean to ask for one.
export async function renewed(used) {
  if (kept !== used) return true;
  asking ??= ask(Boolean(used)).finally(() => (asking = null));
  return asking;
}

function ask(refused) {
  const dialog = document.getElementById("key");
  const form = dialog.querySelector("form");
  const input = dialog.querySelector("input");
  dialog.querySelector("[role=alert]").textContent = refused ? "The service does not know this key." : "";
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(false), { once: true }); // resolved already after a key was given
    form.onsubmit = (event) => {
      event.preventDefault();
      keep(input.value.trim());
      resolve(true);
      dialog.close();
    };
  });
}

function keep(key) {
  kept = key;
  try {
    sessionStorage.setItem(NAME, key);
  } catch {
    // A browser that stores nothing: the page has it until it is left.
  }
}

function recall() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}
