import { LitElement, css, html } from "lit";
import { customElement } from "lit/decorators.js";

/** A surface that sets its content apart from the page. */
@customElement("gh-card")
export class Card extends LitElement {
  static override styles = css`
    :host {
      display: block;
      box-sizing: border-box;
      padding: 1.5rem;
      border: 1px solid var(--gh-line);
      border-radius: var(--gh-radius);
      background: var(--gh-surface);
      box-shadow: 0 1px 3px rgb(0 0 0 / 8%);
      overflow-x: auto;
    }
  `;

  override render() {
    return html`<slot></slot>`;
  }
}
