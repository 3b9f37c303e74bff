export { Banner } from "./banner";
export { Card } from "./card";
export { controls, tables } from "./styles";
export { Time, spell } from "./time";
