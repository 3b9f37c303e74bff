/**
 * Where to go after signing in: what the address asks for, if that is a place of ours. Anything else could lead people who
 * trust our sign-in page to somebody else's.
 */
export function nextPlace(search: string): string {
  const next = new URLSearchParams(search).get("next") ?? "/";
  // Browsers read "\" as "/", and drop tabs and line ends.
  return /^\/(?![/\\])[^\\\t\r\n]*$/.test(next) ? next : "/";
}
