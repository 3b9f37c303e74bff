import { LitElement, css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";
import type { User } from "./api";
import { explain, sessions } from "./client";
import { nextPlace } from "./next";
import "./pages/overview";
import "./pages/sign-in";

/** The whole page: finds out who is signed in, and shows what that person may see. */
@customElement("gatehouse-app")
export class GatehouseApp extends LitElement {
  @state() private user?: User | null; // undefined while unknown
  @state() private problem = "";

  static override styles = css`
    :host {
      display: block;
      min-height: 100vh;
    }

    gh-banner {
      margin: 2rem auto;
      max-width: 30rem;
    }
  `;

  override connectedCallback() {
    super.connectedCallback();
    void this.load();
  }

  override render() {
    if (this.problem) {
      return html`<gh-banner kind="bad">${this.problem}</gh-banner>`;
    }
    if (this.user === undefined) {
      return nothing;
    }
    if (this.user === null) {
      return html`<gatehouse-sign-in @signed-in=${this.signedIn}></gatehouse-sign-in>`;
    }
    return html`<gatehouse-overview .user=${this.user} @sign-out=${this.signOut}></gatehouse-overview>`;
  }

  private async load() {
    try {
      const session = await sessions.sessionRetrieve();
      if (session.user && location.pathname === "/login") {
        location.replace(nextPlace(location.search));
        return;
      }
      if (!session.user && location.pathname !== "/login") {
        history.replaceState(null, "", `/login?${new URLSearchParams({ next: location.pathname + location.search })}`);
      }
      this.user = session.user;
    } catch (error) {
      this.problem = await explain(error);
    }
  }

  /** The next place may be one that the backend answers, such as an authorization request, so the browser must go there. */
  private signedIn() {
    location.assign(nextPlace(location.search));
  }

  private async signOut() {
    try {
      await sessions.sessionDestroy();
      location.assign("/login");
    } catch (error) {
      this.problem = await explain(error);
    }
  }
}
