import { LitElement, html } from "lit";
import { customElement, property } from "lit/decorators.js";

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** How long ago value was, in words: "2 hours ago". */
export function spell(value: Date, now: Date): string {
  const seconds = (value.getTime() - now.getTime()) / 1000;
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, length] of steps) {
    if (Math.abs(seconds) >= length) {
      return words.format(Math.trunc(seconds / length), unit);
    }
  }
  return "just now";
}

/** A moment, in words; pointing at it tells it exactly. */
@customElement("gh-time")
export class Time extends LitElement {
  @property({ attribute: false }) value!: Date;

  override render() {
    return html`<time datetime=${this.value.toISOString()} title=${this.value.toLocaleString()}
      >${spell(this.value, new Date())}</time
    >`;
  }
}
