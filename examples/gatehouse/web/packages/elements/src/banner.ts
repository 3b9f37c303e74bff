import { LitElement, css, html } from "lit";
import { customElement, property } from "lit/decorators.js";

/** A sentence or two that should not be overlooked. Screen readers say it when it appears. */
@customElement("gh-banner")
export class Banner extends LitElement {
  @property({ reflect: true }) kind: "good" | "bad" = "good";

  static override styles = css`
    :host {
      display: block;
      margin-top: 0.25rem;
      padding: 0.6rem 0.85rem;
      border-left: 4px solid var(--gh-accent);
      border-radius: 6px;
      background: var(--gh-good-surface);
      overflow-wrap: anywhere;
    }

    :host([kind="bad"]) {
      border-color: var(--gh-bad);
      background: var(--gh-bad-surface);
    }
  `;

  override connectedCallback() {
    super.connectedCallback();
    this.role = this.kind === "bad" ? "alert" : "status";
  }

  override render() {
    return html`<slot></slot>`;
  }
}
