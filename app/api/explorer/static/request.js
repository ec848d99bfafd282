// A request to the service: described once, then sent, or shown as the curl command that does the same.
//
// { path, json | file + type, accept, saves }: a path relative to the page, so that it works behind a prefix.

import * as key from "./key.js";

export const generate = (z, query = "") => ({ path: `generate${query}`, json: { z }, saves: "digit.png" });
export const manifold = (query) => ({ path: `manifold.png?${query}`, saves: "manifold.png" });
export const encode = (picture) => ({ path: "encode", ...asBody(picture) });
export const reconstruct = (picture) => ({ path: "reconstruct", ...asBody(picture), accept: "application/json" });
export const pair = (picture) => ({ path: "reconstruct", ...asBody(picture), saves: "pair.png" });

const asBody = ({ blob, name }) => ({ file: blob, name, type: blob.type });

// Why there is no answer, in words for the person at the page.
export class Trouble extends Error {
  constructor(message, { lost = false, busy = false } = {}) {
    super(message);
    this.lost = lost; // nothing answered at all
    this.busy = busy; // trying again in a moment will do
  }
}

const TRANSIENT = [429, 502, 503, 504]; // too much at once, or a proxy whose service is just being started anew

export async function send(request) {
  const used = key.current();
  const response = await reach(request);
  if (response.ok) return response;
  if (response.status === 401 && (await key.renewed(used))) return send(request);
  throw new Trouble(await reason(response), { busy: TRANSIENT.includes(response.status) });
}

async function reach(request) {
  try {
    return await fetch(new URL(request.path, document.baseURI), {
      method: body(request) ? "POST" : "GET",
      headers: { ...headers(request), ...key.header() },
      body: body(request),
    });
  } catch {
    throw new Trouble("The service does not answer. This page goes on as soon as it is back.", { lost: true });
  }
}

const body = (request) => request.file ?? (request.json && JSON.stringify(request.json));

function headers({ json, type, accept }) {
  const kind = json ? "application/json" : type;
  return { ...(kind && { "content-type": kind }), ...(accept && { accept }) };
}

// Errors are problem documents, whose detail is written for people; a proxy in between may answer something else.
async function reason(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `The service answered ${response.status}. Trying again may help.`;
  }
}

export function asCurl(request) {
  const words = [`curl -s ${quoted(decodeURI(new URL(request.path, document.baseURI)))}`];
  for (const [name, value] of Object.entries(headers(request))) words.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (key.current()) words.push('-H "authorization: Bearer $VAE_API_KEY"'); // what is copied is pasted anywhere
  if (request.json) words.push(`-d ${quoted(body(request))}`);
  if (request.file) words.push(`--data-binary ${quoted(`@${request.name}`)}`);
  if (request.saves) words.push(`-o ${request.saves}`);
  return words.join(" \\\n  ");
}

const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
