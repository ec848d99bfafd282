// Links to answers of the service. A browser follows a link without the key; with one, the answer is fetched and saved.

import { current } from "./key.js";
import { send } from "./request.js";

export function carryKey(links, fail) {
  for (const link of links) {
    link.addEventListener("click", (event) => {
      if (!current()) return;
      event.preventDefault();
      save(link).catch(fail);
    });
  }
}

async function save(link) {
  const path = link.getAttribute("href");
  const href = URL.createObjectURL(await (await send({ path })).blob());
  Object.assign(document.createElement("a"), { href, download: link.download || `${path}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000); // a download begins when it begins
}
