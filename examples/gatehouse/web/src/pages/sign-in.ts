import { controls } from "@gatehouse/elements";
import { LitElement, css, html, nothing } from "lit";
import { customElement, state } from "lit/decorators.js";
import { explain, sessions } from "../client";

/** The sign-in form. Fires "signed-in" once the backend has let the person in. */
@customElement("gatehouse-sign-in")
export class SignIn extends LitElement {
  @state() private busy = false;
  @state() private problem = "";

  static override styles = [
    controls,
    css`
      :host {
        display: grid;
        min-height: 100vh;
        place-content: center;
        padding: 1rem;
        box-sizing: border-box;
        background:
          radial-gradient(
            60rem 30rem at 50% -10rem,
            color-mix(in srgb, var(--gh-accent) 22%, transparent),
            transparent
          ),
          var(--gh-page);
      }

      gh-card {
        width: min(23rem, calc(100vw - 2rem));
      }

      header {
        display: grid;
        justify-items: center;
        gap: 0.75rem;
        margin-bottom: 1.5rem;
      }

      img {
        width: 3.25rem;
      }

      h1 {
        margin: 0;
        font-size: 1.35rem;
        font-weight: 650;
      }

      form {
        display: grid;
        gap: 1rem;
      }
    `,
  ];

  override render() {
    return html`
      <gh-card>
        <header>
          <img src="/icon.svg" alt="" />
          <h1>Sign in to Gatehouse</h1>
        </header>
        <form @submit=${this.submit}>
          ${this.problem ? html`<gh-banner kind="bad">${this.problem}</gh-banner>` : nothing}
          <label>
            User name
            <input name="username" autocomplete="username" autocapitalize="none" maxlength="150" required autofocus />
          </label>
          <label>
            Password
            <input name="password" type="password" autocomplete="current-password" maxlength="200" required />
          </label>
          <button type="submit" class="primary" ?disabled=${this.busy}>${this.busy ? "Signing in…" : "Sign in"}</button>
        </form>
      </gh-card>
    `;
  }

  private async submit(event: SubmitEvent) {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const data = new FormData(form);
    this.busy = true;
    try {
      await sessions.sessionCreate({
        signInRequest: { username: String(data.get("username")), password: String(data.get("password")) },
      });
      this.dispatchEvent(new Event("signed-in"));
    } catch (error) {
      this.problem = await explain(error);
      this.busy = false;
      const password = form.elements.namedItem("password") as HTMLInputElement;
      password.value = "";
      password.focus();
    }
  }
}
