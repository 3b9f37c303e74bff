import { css } from "lit";

/** Labels, inputs and buttons. */
export const controls = css`
  label {
    display: grid;
    gap: 0.3rem;
    font-size: 0.9rem;
    font-weight: 550;
  }

  input {
    font: inherit;
    font-weight: 400;
    padding: 0.55rem 0.7rem;
    border: 1px solid var(--gh-line);
    border-radius: 7px;
    background: var(--gh-page);
    color: inherit;
  }

  button {
    font: inherit;
    padding: 0.5rem 1rem;
    border: 1px solid var(--gh-line);
    border-radius: 7px;
    background: transparent;
    color: inherit;
    cursor: pointer;
  }

  button.primary {
    border-color: transparent;
    background: var(--gh-accent);
    color: var(--gh-on-accent);
    font-weight: 600;
  }

  button:disabled {
    opacity: 0.6;
    cursor: default;
  }

  input:focus-visible,
  button:focus-visible {
    outline: 2px solid var(--gh-accent);
    outline-offset: 1px;
  }

  code {
    font-size: 0.85em;
    overflow-wrap: anywhere;
  }

  .quiet {
    margin: 0;
    color: var(--gh-quiet);
  }
`;

/** Tables of records. */
export const tables = css`
  table {
    width: 100%;
    border-collapse: collapse;
    font-size: 0.92rem;
  }

  th {
    color: var(--gh-quiet);
    font-weight: 550;
    text-align: left;
  }

  th,
  td {
    padding: 0.45rem 1rem 0.45rem 0;
    border-bottom: 1px solid var(--gh-line);
    vertical-align: top;
    overflow-wrap: break-word;
  }

  tbody tr:last-child td {
    border-bottom: 0;
  }
`;
