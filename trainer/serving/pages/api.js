/** The server, as the page asks it: which models there are, and what they predict. */

const TIMEOUT_MS = 30_000;

let token = ""; // in memory only

/** Fires "refused" when the server asks for a token that it was not given. */
export const access = new EventTarget();

/** Why the server gave no answer, as a sentence to show. `status` is 0 where there was no response at all. */
export class ServerError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** Send this token from now on. */
export function authorize(text) {
  token = text;
}

/** Whether a token is being sent. */
export function isAuthorized() {
  return token !== "";
}

/** Where a model predicts, as an address below the page's own. */
export function predictPath(name, version = null) {
  const place = version === null ? "" : `/versions/${encodeURIComponent(version)}`;
  return `v1/projects/-/models/${encodeURIComponent(name)}${place}:predict`;
}

/** The served models: name, version, schema and signatures of each. */
export async function fetchModels() {
  return JSON.parse(await ask("page/models.json"));
}

/** One prediction per instance, in order. */
export async function predict(path, instances) {
  const text = await predictText(path, JSON.stringify({ instances }));
  const predictions = parsed(text)?.predictions;
  if (predictions?.length !== instances.length) {
    throw new ServerError(200, `The server answered without ${instances.length} predictions: ${text.slice(0, 200)}`);
  }
  return predictions;
}

/** The text of the answer to a request whose body is already text. */
export function predictText(path, body) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body });
}

async function ask(path, { headers = {}, ...options } = {}) {
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  let response, text;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    response = await fetch(path, { ...options, headers: { ...headers, ...authorization }, cache: "no-store", signal });
    text = await response.text();
  } catch (error) {
    throw new ServerError(
      0,
      error.name === "TimeoutError"
        ? `The server did not answer within ${TIMEOUT_MS / 1000} seconds.`
        : "The server cannot be reached.",
    );
  }
  if (response.ok) return text;
  if (response.status === 401) access.dispatchEvent(new Event("refused"));
  const said = parsed(text)?.error;
  throw new ServerError(
    response.status,
    typeof said === "string" ? said : said?.message ?? `The server answered ${response.status} ${response.statusText}.`,
  );
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
