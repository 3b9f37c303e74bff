import "@gatehouse/elements";
import "./app";
