import { controls, tables } from "@gatehouse/elements";
import { Task } from "@lit/task";
import { LitElement, css, html, nothing } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { CreatedApplication, User } from "../api";
import { applications, events, explain, notices } from "../client";

declare const __VERSION__: string;

/** What a person sees after signing in: their own sign-ins, and for administrators the applications and the record. */
@customElement("gatehouse-overview")
export class Overview extends LitElement {
  @property({ attribute: false }) user!: User;
  @state() private created?: CreatedApplication;
  @state() private problem = "";

  private readonly applications = new Task(this, {
    args: () => [this.user.isStaff],
    task: async ([staff]) => (staff ? (await applications.applicationsList()).results : []),
  });

  private readonly events = new Task(this, {
    args: () => [this.user.isStaff],
    task: async ([staff]) => (staff ? (await events.eventsList({ pageSize: 10 })).results : []),
  });

  private readonly notices = new Task(this, {
    args: () => [],
    task: async () => (await notices.noticesList({ pageSize: 5 })).results,
  });

  static override styles = [
    controls,
    tables,
    css`
      :host {
        display: block;
      }

      header {
        display: flex;
        align-items: center;
        gap: 0.75rem;
        padding: 0.75rem 1.5rem;
        border-bottom: 1px solid var(--gh-line);
        background: var(--gh-surface);
      }

      header img {
        width: 2rem;
      }

      header strong {
        flex: 1;
        font-size: 1.05rem;
      }

      main {
        display: grid;
        gap: 1.5rem;
        max-width: 64rem;
        margin: 1.5rem auto;
        padding: 0 1.5rem;
      }

      h2 {
        margin: 0 0 0.75rem;
        font-size: 1.05rem;
      }

      form {
        display: flex;
        flex-wrap: wrap;
        align-items: end;
        gap: 0.75rem;
        margin-top: 1rem;
      }

      form label {
        flex: 1 1 14rem;
      }

      footer {
        text-align: center;
        color: var(--gh-quiet);
        font-size: 0.85rem;
        padding-bottom: 2rem;
      }
    `,
  ];

  override render() {
    return html`
      <header>
        <img src="/icon.svg" alt="" />
        <strong>Gatehouse</strong>
        <span>${this.user.displayName}</span>
        <button @click=${() => this.dispatchEvent(new Event("sign-out"))}>Sign out</button>
      </header>
      <main>
        ${this.user.isStaff ? html`${this.renderApplications()}${this.renderEvents()}` : nothing}
        ${this.renderNotices()}
      </main>
      <footer>Gatehouse ${__VERSION__}</footer>
    `;
  }

  private renderApplications() {
    return html`
      <gh-card>
        <h2>Applications</h2>
        ${this.applications.render({
          complete: (list) =>
            list.length === 0
              ? html`<p class="quiet">None yet. Add the first one below.</p>`
              : html`
                  <table>
                    <thead>
                      <tr>
                        <th>Name</th>
                        <th>Client ID</th>
                        <th>Returns to</th>
                        <th>Kind</th>
                      </tr>
                    </thead>
                    <tbody>
                      ${list.map(
                        (application) => html`
                          <tr>
                            <td>${application.name}</td>
                            <td><code>${application.clientId}</code></td>
                            <td>${application.redirectUris.map((uri) => html`<div>${uri}</div>`)}</td>
                            <td>${application.confidential ? "confidential" : "public"}</td>
                          </tr>
                        `,
                      )}
                    </tbody>
                  </table>
                `,
          error: failed,
        })}
        ${
          this.created
            ? html`
                <gh-banner>
                  <b>${this.created.name}</b> is ready. Its secret is shown only now.<br />
                  Client ID <code>${this.created.clientId}</code><br />
                  Client secret <code>${this.created.clientSecret}</code>
                </gh-banner>
              `
            : nothing
        }
        ${this.problem ? html`<gh-banner kind="bad">${this.problem}</gh-banner>` : nothing}
        <form @submit=${this.addApplication}>
          <label>Name <input name="name" maxlength="255" required /></label>
          <label>Redirect URI <input name="uri" type="url" maxlength="500" required /></label>
          <button type="submit" class="primary">Add application</button>
        </form>
      </gh-card>
    `;
  }

  private renderEvents() {
    return html`
      <gh-card>
        <h2>Lately</h2>
        ${this.events.render({
          complete: (list) => html`
            <table>
              <thead>
                <tr>
                  <th>When</th>
                  <th>What</th>
                  <th>Who</th>
                  <th>From</th>
                </tr>
              </thead>
              <tbody>
                ${list.map(
                  (event) => html`
                    <tr>
                      <td><gh-time .value=${event.time}></gh-time></td>
                      <td>${event.kind.replaceAll("-", " ")} ${event.subject}</td>
                      <td>${event.username}</td>
                      <td>${event.clientIp}</td>
                    </tr>
                  `,
                )}
              </tbody>
            </table>
          `,
          error: failed,
        })}
      </gh-card>
    `;
  }

  private renderNotices() {
    return html`
      <gh-card>
        <h2>Your sign-ins from new places</h2>
        ${this.notices.render({
          complete: (list) =>
            list.length === 0
              ? html`<p class="quiet">None.</p>`
              : html`
                  <table>
                    <thead>
                      <tr>
                        <th>When</th>
                        <th>From</th>
                        <th>With</th>
                        <th>Notice</th>
                      </tr>
                    </thead>
                    <tbody>
                      ${list.map(
                        (notice) => html`
                          <tr>
                            <td><gh-time .value=${notice.time}></gh-time></td>
                            <td>${notice.clientIp}</td>
                            <td>${notice.userAgent}</td>
                            <td>${notice.mailed ? "mailed" : notice.delivered ? "delivered" : "under way"}</td>
                          </tr>
                        `,
                      )}
                    </tbody>
                  </table>
                `,
          error: failed,
        })}
      </gh-card>
    `;
  }

  private async addApplication(event: SubmitEvent) {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const data = new FormData(form);
    this.problem = "";
    try {
      this.created = await applications.applicationsCreate({
        applicationRequest: { name: String(data.get("name")), redirectUris: [String(data.get("uri"))] },
      });
      form.reset();
      await this.applications.run();
    } catch (error) {
      this.problem = await explain(error);
    }
  }
}

function failed() {
  return html`<gh-banner kind="bad">This could not be loaded.</gh-banner>`;
}
