/** The value of a cookie in the form that `document.cookie` has, "" if there is none of that name. */
export function cookie(cookies: string, name: string): string {
  for (const part of cookies.split("; ")) {
    const at = part.indexOf("=");
    if (part.slice(0, at) === name) {
      return decodeURIComponent(part.slice(at + 1));
    }
  }
  return "";
}
