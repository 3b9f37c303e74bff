import {
  ApplicationsApi,
  Configuration,
  EventsApi,
  NoticesApi,
  ResponseError,
  SessionApi,
  type RequestContext,
} from "./api";
import { cookie } from "./cookie";

const configuration = new Configuration({
  basePath: "",
  credentials: "same-origin",
  middleware: [
    {
      async pre({ url, init }: RequestContext) {
        const headers = new Headers(init.headers);
        headers.set("X-CSRFToken", cookie(document.cookie, "gatehouse_csrf"));
        return { url, init: { ...init, headers } };
      },
    },
  ],
});

export const sessions = new SessionApi(configuration);
export const applications = new ApplicationsApi(configuration);
export const events = new EventsApi(configuration);
export const notices = new NoticesApi(configuration);

/** What the backend says is wrong, in words for the person at the screen. */
export async function explain(error: unknown): Promise<string> {
  if (!(error instanceof ResponseError)) {
    return "Gatehouse does not answer. Is the network all right?";
  }
  if (error.response.status === 429) {
    return "Too many tries. Wait a minute.";
  }
  try {
    const body: Record<string, unknown> = await error.response.clone().json();
    return Object.values(body).flat(2).join(" ");
  } catch {
    return `Gatehouse answers ${error.response.status}.`;
  }
}
