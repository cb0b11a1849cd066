/** What is known of a page and its visitor without asking: the device, what led here, and signals that say no. */
/** Global Privacy Control or Do-Not-Track: no consent opens what these close. */
export declare const refused: () => boolean;
export declare const deviceOf: () => string;
/** What led to this page: direct, search, social, email or other. */
export declare const sourceOf: () => string;
