/** What is known of a page and its visitor without asking: the device, what led here, and signals that say no. */

/** Global Privacy Control or Do-Not-Track: no consent opens what these close. */
export const refused = (): boolean => {
  const said = navigator as { globalPrivacyControl?: boolean; doNotTrack?: string | null };
  return !!said.globalPrivacyControl || said.doNotTrack === "1";
};

export const deviceOf = (): string =>
  !matchMedia("(pointer:coarse)").matches ? "desktop" : Math.min(screen.width, screen.height) < 600 ? "mobile" : "tablet";

/** What led to this page: direct, search, social, email or other. */
export const sourceOf = (): string => {
  if (/[?&]utm_medium=e-?mail/i.test(location.search)) return "email";
  const { referrer } = document;
  const from = referrer && new URL(referrer).hostname;
  if (!from || from === location.hostname) return "direct";
  if (/(^|\.)(google|bing|duckduckgo|yahoo|ecosia|baidu|yandex)\./.test(from)) return "search";
  if (/(^|\.)(facebook|instagram|twitter|x|t|tiktok|pinterest|reddit|linkedin|youtube)\.com?$/.test(from)) return "social";
  if (/(^|[.-])(web)?mail\b/.test(from)) return "email";
  return "other";
};
